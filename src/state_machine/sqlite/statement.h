// One statement of SQLite: preparing it alone, binding its values, reading a row.
#pragma once

#include <sqlite3.h>

#include <memory>
#include <string_view>

#include "base/result.h"
#include "base/status.h"
#include "state_machine/command.h"

namespace cairn::state_machine {

// A longer pattern costs more work in one step than anything can interrupt.
inline constexpr int kLikePatternBytesMax = 1000;

struct FinalizeStatement {
  void operator()(sqlite3_stmt* stmt) const { sqlite3_finalize(stmt); }
};
using StatementPtr = std::unique_ptr<sqlite3_stmt, FinalizeStatement>;

// Well-formed UTF-8: no surrogates, no overlong forms, nothing past U+10FFFF. NUL is a character.
bool IsValidUtf8(std::string_view text);

// INVALID_ARGUMENT if the text is longer than kSqlBytesMax, holds a NUL or is not UTF-8.
Status CheckSqlText(std::string_view sql);

// Prepares the only statement of `sql`. Comments, white space and semicolons may follow it. No
// statement, or more than one, is INVALID_ARGUMENT; SQLite's own errors are as StatusFromSqlite
// gives them. `flags` as for sqlite3_prepare_v3. The text has passed CheckSqlText.
Result<StatementPtr> PrepareSingle(sqlite3* db, std::string_view sql, unsigned flags);

// Binds all values of `statement`. INVALID_ARGUMENT unless every parameter gets exactly one value,
// by number or by name, every value has a parameter, and all text is UTF-8. SQLite keeps pointers
// into `statement`: the caller clears the bindings, or finalizes, while `statement` still lives.
Status BindParameters(sqlite3_stmt* stmt, const Statement& statement);

// The value of a column in the current row.
Value ColumnValue(sqlite3_stmt* stmt, int column);

// What an error that `db` has just reported means to whoever sent the statement.
Status StatusFromSqlite(sqlite3* db, int rc);

}  // namespace cairn::state_machine
