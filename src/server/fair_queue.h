// FairQueue: a queue in which no one can make the others wait for all of his.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <unordered_map>
#include <utility>

namespace cairn::server {

// In order of arrival for each key; keys take turns. Not thread-safe.
template <class T>
class FairQueue {
 public:
  bool empty() const { return size_ == 0; }
  size_t size() const { return size_; }

  void Push(uint64_t key, T item) { QueueOf(key).push_back(std::move(item)); }
  // Ahead of the key's other items.
  void PushFront(uint64_t key, T item) { QueueOf(key).push_front(std::move(item)); }

  // The first item of the key whose turn it is. Not of an empty queue.
  T Pop() {
    const uint64_t key = turns_.front();
    turns_.pop_front();
    const auto found = queues_.find(key);
    T item = std::move(found->second.front());
    found->second.pop_front();
    --size_;
    if (!found->second.empty()) {
      turns_.push_back(key);
    } else if (queues_.size() > kKeysKept) {
      queues_.erase(found);
    }
    return item;
  }

 private:
  // Empty queues that are kept for their memory: most keys come again at once.
  static constexpr size_t kKeysKept = 64;

  std::deque<T>& QueueOf(uint64_t key) {
    std::deque<T>& queue = queues_[key];
    if (queue.empty()) turns_.push_back(key);
    ++size_;
    return queue;
  }

  std::unordered_map<uint64_t, std::deque<T>> queues_;
  std::deque<uint64_t> turns_;  // the keys that have items
  size_t size_ = 0;
};

}  // namespace cairn::server
