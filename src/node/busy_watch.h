// BusyWatch: whether apply is busy with one command for long, and with which.
#pragma once

#include <optional>

#include "base/clock.h"
#include "node/replica.h"
#include "state_machine/state_machine.h"

namespace cairn::node {

// To be told again and again what apply is at. Not thread-safe.
class BusyWatch {
 public:
  // A command that is seen so long is told of.
  static constexpr SteadyTime kLong = std::chrono::seconds(1);

  // Gives the command that apply is busy with, if it is for long. Logs the beginning and the end.
  const std::optional<BusyApply>& Look(std::optional<state_machine::ApplyingCommand> at,
                                       SteadyTime now);

 private:
  void Leave(SteadyTime now);

  std::optional<BusyApply> seen_;
  std::optional<BusyApply> busy_;  // seen for long
};

}  // namespace cairn::node
