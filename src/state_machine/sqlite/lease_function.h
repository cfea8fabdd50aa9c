// cairn_lease_ms(): the replicated lease clock, in milliseconds, for SQL.
//
// The clock counts the time that leaders have spent in office. Nobody can set it, it never goes back,
// and it is the same on every node at the same entry of the log. So a condition such as
// "WHERE expires_ms < cairn_lease_ms()" is not fooled by a wall clock that is set. A write sees the
// time of its entry, a query that of the last entry in what it reads.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <optional>

#include "base/status.h"

namespace cairn::state_machine {

// Owned by the connection's thread.
struct LeaseClock {
  // None: a call is refused. In a two-phase transaction the statements run when they are prepared and
  // again at the commit, and must do the same.
  std::optional<uint64_t> ms;
};

// `clock` outlives the function.
Status AddLeaseFunction(sqlite3* db, LeaseClock* clock);
Status RemoveLeaseFunction(sqlite3* db);

}  // namespace cairn::state_machine
