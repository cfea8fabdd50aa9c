// What the text of a statement tells without the schema: its kind and its parameters.
//
// SQLite itself cannot tell, because it stops at the first unknown table before it reports any of
// this. The scan splits text into tokens exactly as SQLite does. Text that does not parse is left
// to SQLite's parser.
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
  kUnknown,    // begins like no SQL statement
};

struct NamedParameter {
  size_t number = 0;
  std::string name;  // with its prefix
};

struct SqlScan {
  SqlKind kind = SqlKind::kEmpty;
  bool several = false;   // text follows the semicolon that ends the first statement
  size_t parameters = 0;  // the highest number, as sqlite3_bind_parameter_count gives it
  std::vector<NamedParameter> names;  // the parameters that have a name
};

SqlScan ScanSql(std::string_view sql);

// True if the text holds a string or blob literal that takes more than `bytes_max` bytes of the
// text.
bool HasLongLiteral(std::string_view sql, size_t bytes_max);

// The bytes of the longest blob that a literal of the text stands for.
size_t LongestBlobLiteral(std::string_view sql);

// The bytes of the text without its string and blob literals of more than 1 KiB.
size_t BytesBesideLongLiterals(std::string_view sql);

// True if the text is an INSERT, REPLACE or UPDATE, without a WITH before it.
bool WritesRows(std::string_view sql);

// True if the text contains the word (given in lower case), in any case and place. The search is
// far cheaper than to split an INSERT of a thousand rows into tokens.
bool HoldsWord(std::string_view sql, std::string_view lower_word);

// The text of an INSERT without the rows of constants at its end: "INSERT INTO t VALUES" of "INSERT
// INTO t VALUES (1, 'a'), (2, 'b')". Any other text is returned whole. What costs work or has a
// meaning stands in the rest, so a thousand rows need not be split into tokens. A number with a
// sign is an expression, not a constant.
std::string_view WithoutConstantRows(std::string_view sql);

// True if the text calls changes() or total_changes().
bool CallsChanges(std::string_view sql);
// For the text of a CREATE TRIGGER: true if the trigger may call changes() or total_changes()
// before an INSERT, UPDATE or DELETE of its own has ended.
bool TriggerCallsChangesFirst(std::string_view sql);

// The text with ABORT in place of ROLLBACK wherever ROLLBACK names a conflict resolution: OR
// ROLLBACK, ON CONFLICT ROLLBACK and RAISE(ROLLBACK, ...).
std::string WithoutRollback(std::string_view sql);

}  // namespace cairn::state_machine
