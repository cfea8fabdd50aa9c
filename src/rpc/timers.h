// Timers: run tasks at their times. Processes use TimerQueue; tests and the simulator have timers
// of their own, under their own time.
#pragma once

#include <functional>

#include "base/clock.h"

namespace cairn::rpc {

class Timers {
 public:
  virtual ~Timers() = default;
  // Runs `task` once, at `when` or soon after. `task` never runs before RunAt has returned, unless
  // the timers have been stopped.
  virtual void RunAt(SteadyTime when, std::function<void()> task) = 0;
};

}  // namespace cairn::rpc
