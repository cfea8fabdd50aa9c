#include "node/busy_watch.h"

#include <chrono>
#include <utility>

#include "base/log.h"

namespace cairn::node {
namespace {

double Seconds(SteadyTime time) { return std::chrono::duration<double>(time).count(); }

bool SameCommand(const state_machine::ApplyingCommand& a, const state_machine::ApplyingCommand& b) {
  return a.index == b.index && a.number == b.number;
}

}  // namespace

const std::optional<BusyApply>& BusyWatch::Look(std::optional<state_machine::ApplyingCommand> at,
                                                SteadyTime now) {
  if (!at || !seen_ || !SameCommand(*at, seen_->command)) {
    Leave(now);
    seen_.reset();
    if (at) seen_ = BusyApply{*std::move(at), now};
    return busy_;
  }
  if (!busy_ && now - seen_->since >= kLong) {
    busy_ = seen_;
    const state_machine::ApplyingCommand& command = busy_->command;
    LOG_WARN(
        "{} {:.1f} s with command {} of entry {}, of {}, session '{}', number {}: "
        "{}",
        kRepeatsStatement, Seconds(now - busy_->since), command.number + 1, command.index.value(),
        command.principal, command.id.session, command.id.sequence, command.statement);
  }
  return busy_;
}

void BusyWatch::Leave(SteadyTime now) {
  if (!busy_) return;
  LOG_INFO("apply was busy for {:.1f} s with command {} of entry {}", Seconds(now - busy_->since),
           busy_->command.number + 1, busy_->command.index.value());
  busy_.reset();
}

}  // namespace cairn::node
