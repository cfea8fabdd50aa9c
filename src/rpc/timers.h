// Timers: run tasks at their times. TimerQueue is the one of real processes; tests and the
// simulator have their own, under their own time.
#pragma once

#include <functional>

#include "base/clock.h"

namespace cairn::rpc {

class Timers {
 public:
  virtual ~Timers() = default;
  // `task` runs once, at `when` or soon after, never before RunAt has returned unless the timers
  // have been stopped.
  virtual void RunAt(SteadyTime when, std::function<void()> task) = 0;
};

}  // namespace cairn::rpc
