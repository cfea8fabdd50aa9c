#include "node/batcher.h"

#include <iterator>
#include <utility>

namespace cairn::node {

void Batcher::Add(PendingCommandPtr command) {
  bytes_ += command->bytes();
  queue_.push_back(std::move(command));
}

bool Batcher::Ready(size_t entries_in_flight) const {
  if (queue_.empty()) return false;
  if (entries_in_flight == 0) return true;
  if (entries_in_flight >= limits_.entries_in_flight_max) return false;
  return bytes_ >= limits_.batch_bytes_max || queue_.size() >= limits_.batch_commands_max;
}

std::vector<PendingCommandPtr> Batcher::TakeBatch() {
  std::vector<PendingCommandPtr> batch;
  size_t batch_bytes = 0;
  while (!queue_.empty() && batch.size() < limits_.batch_commands_max) {
    const size_t bytes = queue_.front()->bytes();
    if (!batch.empty() && batch_bytes + bytes > limits_.batch_bytes_max) break;
    batch_bytes += bytes;
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
  return all;
}

}  // namespace cairn::node
