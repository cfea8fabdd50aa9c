// ReaderFunctions: SQL functions of a connection that only reads. SQLite checks the deadline of a query
// between calls of functions, but not within one. So each function asks for itself, or takes linear
// time, or refuses values with which it would take much longer than a second.
//
// json_patch() takes time in the product of the lengths of its arguments: hours for two of 16 MiB. A
// JSON function with many paths looks for each in the whole value: seconds for 126 paths in 16 MiB. A
// call with so much work is refused. Other calls run SQLite's own function (delegated_functions.h).
#pragma once

#include <sqlite3.h>

#include <functional>
#include <memory>

#include "base/status.h"
#include "state_machine/sqlite/delegated_functions.h"
#include "state_machine/sqlite/full_text_functions.h"
#include "state_machine/sqlite/lease_function.h"
#include "vectors/index_search.h"

namespace cairn::timeseries {
class TimeSeriesModule;
}  // namespace cairn::timeseries

namespace cairn::state_machine {

// The bound on the product of the two arguments' bytes in json_patch(): about a second of work.
inline constexpr uint64_t kPatchProductMax = 10'000'000'000;

// The bound on the arguments of a JSON function that looks for paths, times the bytes of its first
// argument: about two seconds of work. It holds for calls with more than kPathArgumentsAlways
// arguments; with fewer, no value is so long.
inline constexpr uint64_t kPathsProductMax = 512 << 20;
inline constexpr int kPathArgumentsAlways = 32;

// Used on the connection's thread only. Must outlive the connection that it is installed in.
class ReaderFunctions {
 public:
  // `may_go_on` is false when the query must end. Must not call SQLite.
  explicit ReaderFunctions(const std::function<bool()>& may_go_on);
  ~ReaderFunctions();
  ReaderFunctions(const ReaderFunctions&) = delete;
  ReaderFunctions& operator=(const ReaderFunctions&) = delete;

  // Called once. Also installs the linear functions (linear_functions.h), those of FTS5
  // (full_text_functions.h), those of vectors with `candidates` (vectors/top_k.h), and time series.
  Status Install(sqlite3* db, const char* vfs, const vectors::FindCandidates& candidates);
  // The lease clock of the state that is read.
  void SetLease(uint64_t lease_ms) { lease_.ms = lease_ms; }

 private:
  Status Add(sqlite3* db, const char* name, int args,
             void (*function)(sqlite3_context*, int, sqlite3_value**));

  LeaseClock lease_{.ms = 0};
  FullTextFunctions full_text_;
  const std::unique_ptr<timeseries::TimeSeriesModule> time_series_;
  DelegatedFunctions delegated_;
};

}  // namespace cairn::state_machine
