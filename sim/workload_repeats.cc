// Workload: requests that are sent again after their answer, and the client that takes all the room
// it gets.

#include <algorithm>
#include <iterator>
#include <string>

#include "sim/process.h"
#include "sim/workload.h"

namespace cairn::sim {

using state_machine::Command;
using state_machine::CommandResult;

void Workload::Repeat(const Call& call) {
  if (!call.write || options_.tamper) return;
  if (call.command.id.bare()) {
    return RepeatAfter(Uniform(rng_, SteadyTime(0), options_.repeat_after_max), call);
  }
  // The first one of a session makes it anew if it is not known.
  if (options_.remembered_for == SteadyTime(0) || call.command.id.sequence == 1) return;
  RepeatAfter(Uniform(rng_, SteadyTime(0), 3 * options_.remembered_for), call);
}

void Workload::RepeatAfter(SteadyTime after, const Call& call) {
  world_->After(after, LabelOf(*call.client), [this, command = call.command, first = *call.result] {
    auto it = nodes_->begin();
    std::advance(it, static_cast<int64_t>(rng_.Below(nodes_->size())));
    Process* process = it->second->process();
    if (stopped_ || process == nullptr || process->dead()) return;
    if (it->second->paused_until() > world_->now()) return;
    process->Propose(command, kNodeTimeout, [=, this](const Result<CommandResult>& second) {
      CheckRepeat(command, first, second);
    });
  });
}

// A bare id is still remembered, so the answer must be the first answer: an error does not become
// OK, nothing runs again (a history would show it), and the result is the same. A request of a
// session may be acknowledged, or forgotten: then its answer is that nothing is known.
void Workload::CheckRepeat(const state_machine::Command& command, const CommandResult& first,
                           const Result<CommandResult>& second) {
  if (!second.ok()) return;  // the request did not reach the log
  ++counts_.repeats;
  const bool may_be_gone = !command.id.bare() || options_.is_restored;
  if (may_be_gone && second->status.outcome() == Outcome::kUnknown) {
    ++counts_.forgotten;
    return;
  }
  const bool same_result = second->result_gone ||
                           (second->index == first.index && second->statements == first.statements);
  if (second->status.code() == first.status.code() && same_result) return;
  world_->Fail("request " + command.id.session + "/" + std::to_string(command.id.sequence) +
               " was answered " + first.status.ToString() + " at " + ToString(first.index) +
               ", and its repeat " + second->status.ToString() + " at " + ToString(second->index));
}

// By bare ids and by a session in turn. It changes nothing, so no history needs it.
void Workload::RunGreedy() {
  if (stopped_) return;
  const uint32_t label = Label(Kind::kClient, clients_.size());
  world_->After(Exponential(rng_, options_.greedy_every), label, [this] { RunGreedy(); });
  const auto leads = std::find_if(nodes_->begin(), nodes_->end(), [](const auto& node) {
    const Process* process = node.second->process();
    return process != nullptr && !process->dead() && process->core().is_leader();
  });
  if (leads == nodes_->end() || leads->second->paused_until() > world_->now()) return;
  const uint64_t n = ++greedy_requests_;
  Command command;
  command.operation = state_machine::OpenSession{};
  command.principal = "host:greedy";
  command.id = {n % 2 == 0 ? "greedy" : "greedy-" + std::to_string(n), n % 2 == 0 ? n / 2 : 0};
  leads->second->process()->Propose(command, kNodeTimeout, [this](const auto& result) {
    if (result.ok() && result->status.code() == StatusCode::kResourceExhausted) {
      ++counts_.greedy_refused;
    }
  });
}

}  // namespace cairn::sim
