// json_group_array() and json_group_object(), bounded while they grow.
//
// SQLite's own look at the length of what they make only at the end, so that one of them may take 2 GB,
// and one statement may have hundreds. These look at each row, charge what they write, and have a bound
// together. The results are those of SQLite's.
#pragma once

#include <sqlite3.h>

#include <cstddef>
#include <cstdint>

#include "base/status.h"
#include "state_machine/sqlite/work_budget.h"

namespace cairn::state_machine {

// Of all that the statements of one connection have under way.
inline constexpr size_t kJsonAggregatesBytesMax = 64 << 20;

// The engine's; its thread only. Must outlive the connection that it is installed in.
class JsonAggregates {
 public:
  // Once. `budget` must outlive the connection, too.
  Status Install(sqlite3* db, WorkBudget* budget);

  // What the aggregates under way hold.
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
