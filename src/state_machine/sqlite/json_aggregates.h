// json_group_array() and json_group_object() with a bound on their growth.
//
// SQLite's own functions check the length of their result only at the end, so one call may take 2
// GB, and one statement may have hundreds of calls. These functions check at each row, charge what
// they write, and have one bound for all calls together. The results are those of SQLite's
// functions.
#pragma once

#include <sqlite3.h>

#include <cstddef>
#include <cstdint>

#include "base/status.h"
#include "state_machine/sqlite/work_budget.h"

namespace cairn::state_machine {

// The bound on all such results that are being built on one connection.
inline constexpr size_t kJsonAggregatesBytesMax = 64 << 20;

// Owned by the engine, and used on its thread only. Must outlive the connection that it is
// installed in.
class JsonAggregates {
 public:
  // Called once. `budget` must outlive the connection too.
  Status Install(sqlite3* db, WorkBudget* budget);

  // The bytes of the results that are being built.
  size_t bytes() const { return bytes_; }

 private:
  struct Text;
  template <bool is_object>
  static void Step(sqlite3_context* context, int argc, sqlite3_value** argv);
  template <bool is_object>
  static void Value(sqlite3_context* context);
  template <bool is_object>
  static void Final(sqlite3_context* context);
  static void Inverse(sqlite3_context* context, int argc, sqlite3_value** argv);
  void Give(sqlite3_context* context, Text* text, bool is_object);

  WorkBudget* budget_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace cairn::state_machine
