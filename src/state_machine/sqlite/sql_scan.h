// What the text of a statement says without the schema: its kind and its parameters.
//
// SQLite itself cannot tell: it stops at the first table that it does not know, before it says any
// of this. The scan cuts tokens exactly as SQLite cuts them. Text that does not parse is left to
// SQLite's parser.
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
  size_t parameters = 0;  // the highest number, as sqlite3_bind_parameter_count gives it
  std::vector<NamedParameter> names;  // of the parameters that have one
};

SqlScan ScanSql(std::string_view sql);

// Whether the text holds a literal of a string or a blob that takes more than `bytes_max` bytes of
// the text.
bool HasLongLiteral(std::string_view sql, size_t bytes_max);

// Whether the word (in lower case) stands in the text, in any case and place. A search for its last
// letter is far cheaper than to cut the tokens of an INSERT of a thousand rows.
bool HoldsWord(std::string_view sql, std::string_view lower_word);

// Whether the text calls changes() or total_changes().
bool CallsChanges(std::string_view sql);
// Of the text of a CREATE TRIGGER: whether it may call changes() or total_changes() before an INSERT,
// UPDATE or DELETE of its own has ended.
bool TriggerCallsChangesFirst(std::string_view sql);

// The text with ABORT in the place of ROLLBACK wherever ROLLBACK says what a conflict does: OR
// ROLLBACK, ON CONFLICT ROLLBACK and RAISE(ROLLBACK, ...).
std::string WithoutRollback(std::string_view sql);

}  // namespace cairn::state_machine
