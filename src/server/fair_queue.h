// FairQueue: a queue in which nobody can make others wait for all of their own items.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <unordered_map>
#include <utility>

namespace cairn::server {

// The items of each key stay in order of arrival, and the keys take turns. Not thread-safe.
template <class T>
class FairQueue {
 public:
  bool empty() const { return size_ == 0; }
  size_t size() const { return size_; }

  void Push(uint64_t key, T item) { QueueOf(key).push_back(std::move(item)); }
  // Puts the item ahead of the key's other items.
  void PushFront(uint64_t key, T item) { QueueOf(key).push_front(std::move(item)); }

  // Takes the first item of the key whose turn it is. The queue must not be empty.
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
  // How many empty queues are kept, because most keys come again at once.
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
