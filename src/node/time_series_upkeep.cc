#include "node/time_series_upkeep.h"

#include <utility>

namespace cairn::node {
namespace {

// Behind a look that found nothing, and behind a slice.
constexpr SteadyTime kLookEvery = std::chrono::seconds(60);
constexpr SteadyTime kRest = std::chrono::milliseconds(200);
constexpr SteadyTime kTimeout = std::chrono::seconds(10);

}  // namespace

void TimeSeriesUpkeep::Step(state_machine::TimeSeriesUpkeep work) {
  using Work = state_machine::TimeSeriesUpkeep;
  if (work == Work::kNone) return;
  const SteadyTime now = context_.now();
  const std::shared_ptr<PendingCommand> proposed = proposed_.lock();
  if (proposed && !proposed->finished()) {
    last_ = now;
    return;
  }
  if (begun_ && now - last_ < (work == Work::kBusy ? kRest : kLookEvery)) return;
  begun_ = true;
  last_ = now;
  state_machine::Command command;
  command.operation = state_machine::MaintainTimeSeries{};
  auto pending = std::make_shared<PendingCommand>(state_machine::EncodeCommand(command),
                                                  now + kTimeout, nullptr, TraitsOf(command));
  proposed_ = pending;
  proposals_.Add(std::move(pending));
}

}  // namespace cairn::node
