#include "state_machine/sqlite/wal_bound.h"

namespace cairn::state_machine {
namespace {

// New views wait for at most a tenth of the time. Checkpoints are not tried more often either.
constexpr SteadyTime kHoldEvery = std::chrono::seconds(1);
constexpr SteadyTime kLookEvery = std::chrono::milliseconds(5);

}  // namespace

WalBound::Step WalBound::Next(SteadyTime now, uint64_t wal_bytes, uint64_t bytes_max,
                              bool held_back) {
  if (wal_bytes <= restart_bytes_) {
    hold_until_.reset();
    return {};
  }
  const bool too_large = wal_bytes > bytes_max;
  if (!hold_until_) {
    if (now < next_hold_ && !too_large) return {.again = next_hold_ - now};
    hold_until_ = now + kViewHoldMax;
  }
  if (held_back && now < *hold_until_) return {.hold = true, .again = kLookEvery};
  hold_until_.reset();
  next_hold_ = now + kHoldEvery;
  if (!held_back) return {.move = true, .again = kHoldEvery};
  if (!too_large) return {.again = kHoldEvery};
  // A reader ends a moment after it is told to. The next call finds it gone.
  return {.end_readers = true, .move = true, .again = kLookEvery};
}

}  // namespace cairn::state_machine
