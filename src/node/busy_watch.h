// BusyWatch: whether apply has been busy with one command for long, and with which.
#pragma once

#include <optional>

#include "base/clock.h"
#include "node/replica.h"
#include "state_machine/state_machine.h"

namespace cairn::node {

// The owner calls Look again and again with what apply is at. Not thread-safe.
class BusyWatch {
 public:
  // A command that is seen for this long is reported.
  static constexpr SteadyTime kLong = std::chrono::seconds(1);
  // How the line of the log begins that repeats what a client sent: the statement and its names.
  static constexpr char kRepeatsStatement[] = "apply is busy for";

  // Returns the command that apply has been busy with for long, if there is one. Logs the beginning
  // and the end.
  const std::optional<BusyApply>& Look(std::optional<state_machine::ApplyingCommand> at,
                                       SteadyTime now);

 private:
  void Leave(SteadyTime now);

  std::optional<BusyApply> seen_;
  std::optional<BusyApply> busy_;  // seen for long
};

}  // namespace cairn::node
