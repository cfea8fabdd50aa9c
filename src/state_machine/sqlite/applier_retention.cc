// Applier, continued: what is retained, and what lapses when nobody writes.
#include <algorithm>

#include "state_machine/feature_level.h"
#include "state_machine/sqlite/applier.h"

namespace cairn::state_machine {

// The entry's header has moved the clock. The command is asked for when something is to lapse and
// nobody writes, so it does more of that than another entry.
Status Applier::ApplyAdvanceLease(const Operation& /*operation*/, const Place& place,
                                  CommandResult* /*result*/) {
  RETURN_IF_ERROR(restore_.Trim(place.lease_ms, RestoreInto::kTrimPerAdvance));
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
  std::optional<uint64_t> next = txs_.NextDeadlineLeaseMs();
  for (const auto& other : {retention_.NextDeadlineLeaseMs(), restore_.NextDeadlineLeaseMs()}) {
    if (other && (!next || *other < *next)) next = other;
  }
  return next;
}

}  // namespace cairn::state_machine
