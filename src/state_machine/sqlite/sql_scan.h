// What can be said of a statement's text without knowing the schema: its kind and its parameters.
//
// SQLite itself cannot be asked: it stops at the first table it does not know, before it tells any
// of this. The tokens are cut exactly as SQLite cuts them; what does not parse is left to its
// parser.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace cairn::state_machine {

enum class SqlKind {
  kEmpty,        // no token but semicolons
  kRead,         // SELECT, VALUES, EXPLAIN, WITH ... SELECT
  kWrite,        // INSERT, UPDATE, DELETE, CREATE, DROP, ..., also with WITH before it
  kPragma,       // depends on its name
  kTransaction,  // BEGIN, COMMIT, END, ROLLBACK, SAVEPOINT, RELEASE
  kAttach,       // ATTACH, DETACH
  kVacuum,
  kTemporary,  // CREATE TEMP ...
  kUnknown,    // starts like no statement of SQL
};

struct NamedParameter {
  size_t number = 0;
  std::string name;  // with its prefix
};

struct SqlScan {
  SqlKind kind = SqlKind::kEmpty;
  bool several = false;   // something follows the semicolon that ends the first statement
  size_t parameters = 0;  // the highest number of one, as sqlite3_bind_parameter_count gives it
  std::vector<NamedParameter> names;  // of the parameters that have one
};

SqlScan ScanSql(std::string_view sql);

// Whether a string or a blob stands in the text that has more than `bytes_max` bytes, as it is
// written.
bool HasLongLiteral(std::string_view sql, size_t bytes_max);

// The text with ABORT for ROLLBACK wherever that says what to do in a conflict: OR ROLLBACK, ON
// CONFLICT ROLLBACK and RAISE(ROLLBACK, ...).
std::string WithoutRollback(std::string_view sql);

}  // namespace cairn::state_machine
