#include "node/batcher.h"

#include <algorithm>
#include <utility>

namespace cairn::node {
namespace {

constexpr int kSitOutMax = 64;
// What a light command costs beside what is measured of it: most cost less than is reported.
constexpr uint64_t kStepsOfACommand = 1000;

}  // namespace

void Batcher::Add(PendingCommandPtr command) {
  ++count_;
  bytes_ += command->bytes();
  const uint64_t principal = command->traits().principal;
  std::deque<PendingCommandPtr>& queue = queues_[principal];
  if (queue.empty()) turns_.Enter(principal);
  queue.push_back(std::move(command));
}

bool Batcher::Ready(size_t entries_in_flight, SteadyTime now) {
  if (count_ == 0) return false;
  ready_by_ = BatchEnd::kIdle;
  if (entries_in_flight == 0 && !Gathering(now)) return true;
  if (entries_in_flight >= limits_.entries_in_flight_max) return false;
  return bytes_ >= limits_.batch_bytes_max || count_ >= limits_.batch_commands_max;
}

bool Batcher::Gathering(SteadyTime now) {
  if (expected_ == 0) return false;
  const bool all_here = count_ >= expected_;
  if (!all_here && now < gather_until_) return true;
  ready_by_ = all_here ? BatchEnd::kAllCame : BatchEnd::kDelay;
  // Fewer than half of the answered clients came back: they may be clients that ask only once.
  const bool worth_it = 2 * (count_ - std::min(present_, count_)) >= expected_ - present_;
  sit_out_ = worth_it ? 0 : sit_out_next_;
  sit_out_next_ = worth_it ? 1 : std::min(2 * sit_out_next_, kSitOutMax);
  expected_ = 0;
  return false;
}

void Batcher::OnCommitted(size_t commands, SteadyTime took, SteadyTime now) {
  if (limits_.delay_max == SteadyTime(0)) return;
  if (sit_out_ > 0) {
    --sit_out_;
    return;
  }
  present_ = std::min(count_, limits_.batch_commands_max);
  expected_ = std::min(present_ + commands, limits_.batch_commands_max);
  gather_until_ = now + std::min(took, limits_.delay_max);
}

SteadyTime Batcher::gather_until() const {
  return expected_ == 0 || count_ == 0 ? SteadyTime::max() : gather_until_;
}

PendingCommandPtr Batcher::Pop(Queues::iterator queue) {
  PendingCommandPtr command = std::move(queue->second.front());
  queue->second.pop_front();
  --count_;
  bytes_ -= command->bytes();
  if (!queue->second.empty()) return command;
  turns_.Leave(queue->first);
  queues_.erase(queue);
  return command;
}

Batcher::Batch Batcher::TakeBatch() {
  Batch batch;
  batch.end = ready_by_;
  size_t batch_bytes = 0;
  uint64_t batch_steps = 0;
  while (count_ > 0) {
    const uint64_t principal = turns_.Next();
    const auto queue = queues_.find(principal);
    const PendingCommand& next = *queue->second.front();
    if (next.gone()) {
      batch.left_out.push_back(Pop(queue));
      continue;
    }
    const bool first = batch.commands.empty();
    if (!first && batch_bytes + next.bytes() > limits_.batch_bytes_max) {
      batch.end = BatchEnd::kBytes;
      break;
    }
    if (!first && batch_steps + next.expected_steps() > limits_.batch_steps_max) {
      batch.end = BatchEnd::kWork;
      break;
    }
    batch_bytes += next.bytes();
    batch_steps += next.expected_steps();
    turns_.Charge(principal, kStepsOfACommand);
    batch.commands.push_back(Pop(queue));
    if (batch.commands.size() < limits_.batch_commands_max) continue;
    batch.end = BatchEnd::kCommands;
    break;
  }
  return batch;
}

std::vector<PendingCommandPtr> Batcher::TakeIf(const PendingCommandTest& test) {
  std::vector<PendingCommandPtr> taken;
  for (auto queue = queues_.begin(); queue != queues_.end();) {
    std::erase_if(queue->second, [&](PendingCommandPtr& command) {
      if (!test(*command)) return false;
      --count_;
      bytes_ -= command->bytes();
      taken.push_back(std::move(command));
      return true;
    });
    if (!queue->second.empty()) {
      ++queue;
      continue;
    }
    turns_.Leave(queue->first);
    queue = queues_.erase(queue);
  }
  return taken;
}

std::vector<PendingCommandPtr> Batcher::TakeAll() {
  expected_ = 0;
  return TakeIf([](const PendingCommand&) { return true; });
}

}  // namespace cairn::node
