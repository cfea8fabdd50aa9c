// The bound on what the values of one statement of a write hold at once.
//
// A row of 2,000 columns may make as many values of 16 MiB without a jump in its program, so without
// a look of SQLite at anything. The bound is the same on all nodes, since it decides results: not
// the memory that a node has, but the number of places for values in the program, which divides
// kHeldBytesMax. Most programs have few such places, and parameters take none.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "state_machine/command.h"

namespace cairn::state_machine {

inline constexpr uint64_t kHeldBytesMax = 512 << 20;
// The bound of every program that may call changes() or total_changes(), also in a trigger, a view or
// a DEFAULT. The look for the bound would disturb them.
inline constexpr int kValueBytesWithChanges = 256 << 10;

// The largest value that the program of `sql` may make. Takes as long as to compile it.
Result<int> ValueBound(sqlite3* db, std::string_view sql);

// Never more than ValueBound gives, and mostly much less, at no cost. It differs between nodes, so
// a statement that fails by it must run again by the other.
int QuickValueBound(sqlite3_stmt* stmt);

// The size of the largest value that comes with the statement.
size_t LargestValueBytes(const Statement& statement);

}  // namespace cairn::state_machine
