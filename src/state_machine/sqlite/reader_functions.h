// ReaderFunctions: SQL functions of a connection that only reads. No call takes much longer than a
// second, since a function does not look at the deadline of its query.
//
// json_patch() takes time in the product of the lengths of its arguments: hours for two of 16 MiB.
// A call of so much work is refused. SQLite does not tell how to call a function that was
// overridden, so its own json_patch() is called on a second connection that has no file.
#pragma once

#include <sqlite3.h>

#include "base/status.h"
#include "state_machine/sqlite/statement.h"

namespace cairn::state_machine {

// Of the bytes of the two arguments of json_patch(): about a second of work.
inline constexpr uint64_t kPatchProductMax = 10'000'000'000;

// The connection's thread only. Must outlive the connection that it is installed in.
class ReaderFunctions {
 public:
  ReaderFunctions() = default;
  ~ReaderFunctions();
  ReaderFunctions(const ReaderFunctions&) = delete;
  ReaderFunctions& operator=(const ReaderFunctions&) = delete;

  // Once. Installs the linear functions (linear_functions.h), too.
  Status Install(sqlite3* db, const char* vfs);

 private:
  static void Patch(sqlite3_context* context, int argc, sqlite3_value** argv);
  // SQLite's own json_patch(); null if it cannot be had. Most queries never need it.
  sqlite3_stmt* Delegate();

  const char* vfs_ = nullptr;
  sqlite3* delegate_ = nullptr;
  StatementPtr patch_;
};

}  // namespace cairn::state_machine
