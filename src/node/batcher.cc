#include "node/batcher.h"

#include <algorithm>
#include <utility>

namespace cairn::node {
namespace {

constexpr SteadyTime kGatherMax = std::chrono::milliseconds(2);
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
  if (entries_in_flight == 0 && !Gathering(now)) return true;
  if (entries_in_flight >= limits_.entries_in_flight_max) return false;
  return bytes_ >= limits_.batch_bytes_max || count_ >= limits_.batch_commands_max;
}

bool Batcher::Gathering(SteadyTime now) {
  if (expected_ == 0) return false;
  const bool all_here = count_ >= expected_;
  if (!all_here && now < gather_until_) return true;
  // Fewer than half of the answered clients came back: they may be clients that ask only once.
  const bool worth_it = 2 * (count_ - std::min(present_, count_)) >= expected_ - present_;
  sit_out_ = worth_it ? 0 : sit_out_next_;
  sit_out_next_ = worth_it ? 1 : std::min(2 * sit_out_next_, kSitOutMax);
  expected_ = 0;
  return false;
}

void Batcher::OnCommitted(size_t commands, SteadyTime took, SteadyTime now) {
  if (sit_out_ > 0) {
    --sit_out_;
    return;
  }
  present_ = count_;
  expected_ = std::min(present_ + commands, limits_.batch_commands_max);
  gather_until_ = now + std::min(took, kGatherMax);
}

SteadyTime Batcher::gather_until() const {
  return expected_ == 0 || count_ == 0 ? SteadyTime::max() : gather_until_;
}

std::vector<PendingCommandPtr> Batcher::TakeBatch() {
  std::vector<PendingCommandPtr> batch;
  size_t batch_bytes = 0;
  uint64_t batch_steps = 0;
  while (count_ > 0 && batch.size() < limits_.batch_commands_max) {
    const uint64_t principal = turns_.Next();
    const auto queue = queues_.find(principal);
    PendingCommandPtr& next = queue->second.front();
    const size_t bytes = next->bytes();
    const uint64_t steps = next->expected_steps();
    if (!batch.empty() && (batch_bytes + bytes > limits_.batch_bytes_max ||
                           batch_steps + steps > limits_.batch_steps_max)) {
      break;
    }
    batch_bytes += bytes;
    batch_steps += steps;
    bytes_ -= bytes;
    --count_;
    batch.push_back(std::move(next));
    queue->second.pop_front();
    turns_.Charge(principal, kStepsOfACommand);
    if (!queue->second.empty()) continue;
    queues_.erase(queue);
    turns_.Leave(principal);
  }
  return batch;
}

std::vector<PendingCommandPtr> Batcher::TakeExpired(SteadyTime now) {
  std::vector<PendingCommandPtr> expired;
  for (PendingCommandPtr& command : TakeQueued()) {
    if (command->deadline() > now) {
      Add(std::move(command));
    } else {
      expired.push_back(std::move(command));
    }
  }
  return expired;
}

std::vector<PendingCommandPtr> Batcher::TakeAll() {
  expected_ = 0;
  return TakeQueued();
}

std::vector<PendingCommandPtr> Batcher::TakeQueued() {
  std::vector<PendingCommandPtr> all;
  all.reserve(count_);
  for (auto& [principal, queue] : queues_) {
    for (PendingCommandPtr& command : queue) all.push_back(std::move(command));
    turns_.Leave(principal);
  }
  queues_.clear();
  count_ = 0;
  bytes_ = 0;
  return all;
}

}  // namespace cairn::node
