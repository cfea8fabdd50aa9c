// ReaderFunctions: SQL functions of a connection that only reads. No call takes much longer than a
// second, because a function does not check the deadline of its query.
//
// json_patch() takes time in the product of the lengths of its arguments: hours for two of 16 MiB.
// A call with so much work is refused. Other calls run SQLite's own json_patch() on a second
// connection without a file, because SQLite offers no way to call a function that was overridden.
#pragma once

#include <sqlite3.h>

#include "base/status.h"
#include "state_machine/sqlite/statement.h"

namespace cairn::state_machine {

// The bound on the product of the two arguments' bytes in json_patch(): about a second of work.
inline constexpr uint64_t kPatchProductMax = 10'000'000'000;

// Used on the connection's thread only. Must outlive the connection that it is installed in.
class ReaderFunctions {
 public:
  ReaderFunctions() = default;
  ~ReaderFunctions();
  ReaderFunctions(const ReaderFunctions&) = delete;
  ReaderFunctions& operator=(const ReaderFunctions&) = delete;

  // Called once. Also installs the linear functions (linear_functions.h).
  Status Install(sqlite3* db, const char* vfs);

 private:
  static void Patch(sqlite3_context* context, int argc, sqlite3_value** argv);
  // SQLite's own json_patch(), or null if it is not available. Opened at the first use, because
  // most queries never need it.
  sqlite3_stmt* Delegate();

  const char* vfs_ = nullptr;
  sqlite3* delegate_ = nullptr;
  StatementPtr patch_;
};

}  // namespace cairn::state_machine
