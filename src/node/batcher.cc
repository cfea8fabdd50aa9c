#include "node/batcher.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace cairn::node {
namespace {

constexpr SteadyTime kGatherMax = std::chrono::milliseconds(2);
constexpr int kSitOutMax = 64;

}  // namespace

void Batcher::Add(PendingCommandPtr command) {
  bytes_ += command->bytes();
  queue_.push_back(std::move(command));
}

bool Batcher::Ready(size_t entries_in_flight, SteadyTime now) {
  if (queue_.empty()) return false;
  if (entries_in_flight == 0 && !Gathering(now)) return true;
  if (entries_in_flight >= limits_.entries_in_flight_max) return false;
  return bytes_ >= limits_.batch_bytes_max || queue_.size() >= limits_.batch_commands_max;
}

bool Batcher::Gathering(SteadyTime now) {
  if (expected_ == 0) return false;
  const bool all_here = queue_.size() >= expected_;
  if (!all_here && now < gather_until_) return true;
  // Fewer than half of the answered clients came back: they may be clients that ask only once.
  const bool worth_it =
      2 * (queue_.size() - std::min(present_, queue_.size())) >= expected_ - present_;
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
  present_ = queue_.size();
  expected_ = std::min(present_ + commands, limits_.batch_commands_max);
  gather_until_ = now + std::min(took, kGatherMax);
}

SteadyTime Batcher::gather_until() const {
  return expected_ == 0 || queue_.empty() ? SteadyTime::max() : gather_until_;
}

std::vector<PendingCommandPtr> Batcher::TakeBatch() {
  std::vector<PendingCommandPtr> batch;
  size_t batch_bytes = 0;
  uint64_t batch_steps = 0;
  while (!queue_.empty() && batch.size() < limits_.batch_commands_max) {
    const size_t bytes = queue_.front()->bytes();
    const uint64_t steps = queue_.front()->expected_steps();
    if (!batch.empty() && (batch_bytes + bytes > limits_.batch_bytes_max ||
                           batch_steps + steps > limits_.batch_steps_max)) {
      break;
    }
    batch_bytes += bytes;
    batch_steps += steps;
    bytes_ -= bytes;
    batch.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  return batch;
}

std::vector<PendingCommandPtr> Batcher::TakeExpired(SteadyTime now) {
  std::vector<PendingCommandPtr> expired;
  std::deque<PendingCommandPtr> kept;
  for (PendingCommandPtr& command : queue_) {
    if (command->deadline() > now) {
      kept.push_back(std::move(command));
    } else {
      bytes_ -= command->bytes();
      expired.push_back(std::move(command));
    }
  }
  queue_ = std::move(kept);
  return expired;
}

std::vector<PendingCommandPtr> Batcher::TakeAll() {
  std::vector<PendingCommandPtr> all(std::make_move_iterator(queue_.begin()),
                                     std::make_move_iterator(queue_.end()));
  queue_.clear();
  bytes_ = 0;
  expected_ = 0;
  return all;
}

}  // namespace cairn::node
