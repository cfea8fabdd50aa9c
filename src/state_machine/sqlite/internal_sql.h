// Cairn's own statements on its own tables: prepared once, run often.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/status.h"
#include "state_machine/sqlite/statement.h"

namespace cairn::state_machine {

// Every error is this node's trouble, because these statements cannot fail for reasons of their
// text. Values are bound without a copy, so they must live until Run returns, or until Next returns
// false. Use: Bind..., then either Run, or Next until it returns false (or Reset).
class InternalStatement {
 public:
  Status Prepare(sqlite3* db, std::string_view sql);
  void Finalize() { stmt_.reset(); }

  InternalStatement& Bind(int number, int64_t value);
  InternalStatement& Bind(int number, uint64_t value) {
    return Bind(number, static_cast<int64_t>(value));
  }
  InternalStatement& BindText(int number, std::string_view value);
  InternalStatement& BindBlob(int number, std::string_view value);
  InternalStatement& BindNull(int number);

  Status Run();
  // True: there is a row. False: there is no more row, and the statement is reset.
  Result<bool> Next();
  void Reset();

  int64_t Int(int column) const { return sqlite3_column_int64(stmt_.get(), column); }
  uint64_t Uint(int column) const { return static_cast<uint64_t>(Int(column)); }
  bool IsNull(int column) const { return sqlite3_column_type(stmt_.get(), column) == SQLITE_NULL; }
  Value ValueAt(int column) const { return ColumnValue(stmt_.get(), column); }
  // A text or blob. The view is valid until the next call of Next or Reset.
  std::string_view Bytes(int column) const;

 private:
  Status Trouble(int rc) const;
  StatementPtr stmt_;
};

// The Status for this node's own trouble, with SQLite's message and the error code of the system.
Status SqliteTrouble(sqlite3* db, int rc, std::string_view doing);
// Runs one or more statements that have no values and return no rows.
Status ExecInternal(sqlite3* db, const char* sql);

// Reads all pages: DATA_LOSS if they do not form a sound file. The contents of rows are not judged.
// A CHECK, NOT NULL or type that held when a row was written need not hold when the row is read
// again (random(), total_changes(), and JSON functions on a value that is not stored).
Status CheckPages(sqlite3* db);

}  // namespace cairn::state_machine
