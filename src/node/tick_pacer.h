// TickPacer: when the core's next tick is due, and how many missed ticks are made up for after a
// delay.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/clock.h"

namespace cairn::node {

// Not thread-safe: the core thread owns it.
class TickPacer {
 public:
  TickPacer(SteadyTime tick, SteadyTime now) : tick_(tick), next_(now + tick) {}

  SteadyTime next() const { return next_; }

  // The ticks that are due. After a stall at most kAtOnceMax are made up for: a burst would time
  // out a leader whose heartbeats lie unread in the same mailbox.
  uint64_t Take(SteadyTime now) {
    if (now < next_) return 0;
    const int64_t ticks = 1 + (now - next_) / tick_;
    next_ = ticks > kAtOnceMax ? now + tick_ : next_ + ticks * tick_;
    return static_cast<uint64_t>(std::min(ticks, kAtOnceMax));
  }

 private:
  static constexpr int64_t kAtOnceMax = 3;
  const SteadyTime tick_;
  SteadyTime next_;
};

}  // namespace cairn::node
