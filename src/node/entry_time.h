// EntryTime: the time that a leader writes into its entries. SQL sees it as the current time.
//
// It is the wall clock, but never goes back. Hubs without a battery for their clock start in 1970
// and learn the time later, if at all. A leader whose clock is behind the latest time in the log
// continues from that time by its steady clock. The bad schedule without this rule: rows of today
// are followed by rows of 1970, and sorting or expiry by time loses the newest rows.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/clock.h"

namespace cairn::node {

// One owner (the core thread).
class EntryTime {
 public:
  explicit EntryTime(Clock* clock) : clock_(*clock) {}

  // This node leads, and all entries before its own term give SQL times up to `latest_ms`.
  void Begin(int64_t latest_ms);
  // The time of the next entry, in Unix milliseconds.
  int64_t Next();
  // A text for the operator if the clock is behind by more than clocks of sound machines differ;
  // otherwise empty.
  std::string Doubt() const;

 private:
  // The latest time in the log, continued by the steady clock.
  int64_t Floor() const;

  Clock& clock_;
  int64_t latest_ms_ = 0;
  SteadyTime latest_at_{0};
};

}  // namespace cairn::node
