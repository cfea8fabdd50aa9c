// What every user of SQLite here does with one statement: prepare it alone, bind values, read a
// row.
#pragma once

#include <sqlite3.h>

#include <memory>
#include <string_view>

#include "base/result.h"
#include "base/status.h"
#include "state_machine/command.h"

namespace cairn::state_machine {

// Longer ones cost more work in one step than anything can interrupt.
inline constexpr int kLikePatternBytesMax = 1000;

struct FinalizeStatement {
  void operator()(sqlite3_stmt* stmt) const { sqlite3_finalize(stmt); }
};
using StatementPtr = std::unique_ptr<sqlite3_stmt, FinalizeStatement>;

// Well-formed UTF-8: no surrogates, no overlong forms, nothing past U+10FFFF. NUL is a character.
bool IsValidUtf8(std::string_view text);

// INVALID_ARGUMENT if the text is longer than kSqlBytesMax, holds a NUL or is not UTF-8.
Status CheckSqlText(std::string_view sql);

// Prepares the only statement of `sql`; comments, white space and semicolons may follow it. No
// statement or more than one is INVALID_ARGUMENT, SQLite's own errors as StatusFromSqlite has them.
// `flags` as for sqlite3_prepare_v3. The text has passed CheckSqlText.
Result<StatementPtr> PrepareSingle(sqlite3* db, std::string_view sql, unsigned flags);

// Binds all values of `statement`. Every parameter must get exactly one, by number or by name, and
// every value must find its parameter; text must be UTF-8: else INVALID_ARGUMENT. SQLite keeps
// pointers into `statement`: clear the bindings (or finalize) while it still lives.
Status BindParameters(sqlite3_stmt* stmt, const Statement& statement);

// A column of the current row.
Value ColumnValue(sqlite3_stmt* stmt, int column);

// The meaning, for who sent the statement, of an error that `db` just reported.
Status StatusFromSqlite(sqlite3* db, int rc);

}  // namespace cairn::state_machine
