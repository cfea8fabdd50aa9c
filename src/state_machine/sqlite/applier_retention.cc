// Applier, continued: what is retained, and what lapses when nobody writes.
#include <algorithm>

#include "state_machine/feature_level.h"
#include "state_machine/sqlite/applier.h"

namespace cairn::state_machine {

// The entry's header has moved the clock. The command is asked for when something is to lapse and
// nobody writes, so it does more of that than another entry.
Status Applier::ApplyAdvanceLease(const Operation& /*operation*/, const Place& place,
                                  CommandResult* /*result*/) {
  return retention_.Trim(place.lease_ms, ChangeRetention::kPerAdvance);
}

Status Applier::ApplyRetainChanges(const Operation& operation, const Place& place,
                                   CommandResult* result) {
  if (level_ < kLevelDataPlatform) {
    result->status = FailedPrecondition(
        "changes are retained from feature level 3 on: run 'cairn member upgrade' when all nodes "
        "run this version");
    return OkStatus();
  }
  return retention_.Set(std::get<RetainChanges>(operation), IndexOfCommand(place.number),
                        &result->status);
}

std::optional<uint64_t> Applier::NextDeadlineLeaseMs() const {
  const std::optional<uint64_t> of_txs = txs_.NextDeadlineLeaseMs();
  const std::optional<uint64_t> of_changes = retention_.NextDeadlineLeaseMs();
  if (!of_txs || !of_changes) return of_txs ? of_txs : of_changes;
  return std::min(of_txs, of_changes);
}

}  // namespace cairn::state_machine
