// Helpers for one SQLite statement: prepare it, bind its values, read a row.
#pragma once

#include <sqlite3.h>

#include <memory>
#include <string_view>

#include "base/result.h"
#include "base/status.h"
#include "state_machine/command.h"

namespace cairn::state_machine {

// The bound on a pattern of LIKE and GLOB. One step with a longer pattern takes long, and nothing
// can interrupt the step.
inline constexpr int kLikePatternBytesMax = 1000;

struct FinalizeStatement {
  void operator()(sqlite3_stmt* stmt) const { sqlite3_finalize(stmt); }
};
using StatementPtr = std::unique_ptr<sqlite3_stmt, FinalizeStatement>;

// Well-formed UTF-8: no surrogates, no overlong forms, nothing past U+10FFFF. NUL is a character.
bool IsValidUtf8(std::string_view text);

// Whether the long literals of an INSERT, REPLACE or UPDATE count in the length of its text.
enum class LongLiterals : uint8_t { kCount, kAreFree };

// INVALID_ARGUMENT if the text is longer than kSqlBytesMax, holds a NUL or is not UTF-8.
Status CheckSqlText(std::string_view sql, LongLiterals literals = LongLiterals::kCount);

// Prepares the only statement of `sql`. Comments, white space and semicolons may follow it.
// INVALID_ARGUMENT if there is no statement, or more than one. Errors of SQLite are converted by
// StatusFromSqlite. `flags` are those of sqlite3_prepare_v3. The text must have passed
// CheckSqlText.
Result<StatementPtr> PrepareSingle(sqlite3* db, std::string_view sql, unsigned flags);

// The number of the parameter `name`, which may lack its prefix. 0 if there is none.
int FindParameter(sqlite3_stmt* stmt, const std::string& name);

// Binds all values of `statement`. INVALID_ARGUMENT unless every parameter gets exactly one value
// by number or by name, every value has a parameter, and all text is UTF-8. SQLite keeps pointers
// into `statement`, so the caller clears the bindings or finalizes while `statement` still lives.
Status BindParameters(sqlite3_stmt* stmt, const Statement& statement);

// Binds a value that may come from a row: text need not be UTF-8. The value must outlive the
// binding. Returns SQLite's code.
int BindAsStored(sqlite3_stmt* stmt, int number, const Value& value);

// The value of a column in the current row.
Value ColumnValue(sqlite3_stmt* stmt, int column);
Value ValueOf(sqlite3_value* value);

// Converts the last error of `db` for the client that sent the statement.
Status StatusFromSqlite(sqlite3* db, int rc);

}  // namespace cairn::state_machine
