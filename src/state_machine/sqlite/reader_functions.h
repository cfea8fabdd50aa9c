// ReaderFunctions: SQL functions of a connection that only reads. SQLite checks the deadline of a query
// between calls of functions, but not within one. So each function asks for itself, or takes linear
// time, or refuses values with which it would take much longer than a second.
//
// json_patch() takes time in the product of the lengths of its arguments: hours for two of 16 MiB.
// A call with so much work is refused. Other calls run SQLite's own json_patch() on a second
// connection without a file, because SQLite offers no way to call a function that was overridden.
#pragma once

#include <sqlite3.h>

#include <functional>

#include "base/status.h"
#include "state_machine/sqlite/full_text_functions.h"
#include "state_machine/sqlite/statement.h"

namespace cairn::state_machine {

// The bound on the product of the two arguments' bytes in json_patch(): about a second of work.
inline constexpr uint64_t kPatchProductMax = 10'000'000'000;

// Used on the connection's thread only. Must outlive the connection that it is installed in.
class ReaderFunctions {
 public:
  // `may_go_on` is false when the query must end. Must not call SQLite.
  explicit ReaderFunctions(std::function<bool()> may_go_on) : full_text_(std::move(may_go_on)) {}
  ~ReaderFunctions();
  ReaderFunctions(const ReaderFunctions&) = delete;
  ReaderFunctions& operator=(const ReaderFunctions&) = delete;

  // Called once. Also installs the linear functions (linear_functions.h) and those of FTS5
  // (full_text_functions.h).
  Status Install(sqlite3* db, const char* vfs);

 private:
  static void Patch(sqlite3_context* context, int argc, sqlite3_value** argv);
  // SQLite's own json_patch(), or null if it is not available. Opened at the first use, because
  // most queries never need it.
  sqlite3_stmt* Delegate();

  FullTextFunctions full_text_;
  const char* vfs_ = nullptr;
  sqlite3* delegate_ = nullptr;
  StatementPtr patch_;
};

}  // namespace cairn::state_machine
