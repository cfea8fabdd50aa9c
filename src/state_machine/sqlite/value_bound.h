// The bound on the memory that the values of one write statement take at once.
//
// A row of 2,000 columns may make as many values of 16 MiB without a jump in its program, so SQLite
// never calls the progress handler in between. The bound decides results, so it is the same on all
// nodes. It does not depend on the memory of a node: it is kHeldBytesMax divided by the number of
// places for values in the program. Most programs have few such places, and parameters take none.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "state_machine/command.h"

namespace cairn::state_machine {

inline constexpr uint64_t kHeldBytesMax = 512 << 20;
// The bound of every program that may call changes() or total_changes(), also in a trigger, a view
// or a DEFAULT. To look up the exact bound would change what these functions return.
inline constexpr int kValueBytesWithChanges = 256 << 10;

// The largest value that the program of `sql` may make. Takes as long as to compile `sql`.
Result<int> ValueBound(sqlite3* db, std::string_view sql);

// At most ValueBound, mostly much less, and at no cost. The result differs between nodes, so a
// statement that fails by this bound must run again under the exact one.
int QuickValueBound(sqlite3_stmt* stmt);

// The size of the largest value that is bound to the statement.
size_t LargestValueBytes(const Statement& statement);

}  // namespace cairn::state_machine
