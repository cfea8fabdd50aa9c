// Mailbox<T>: how threads meet. Many producers, one consumer, bounded in bytes.
#pragma once

#include <deque>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"

namespace cairn {

// A queue bounded by the sum of the costs of what it holds. Thread-safe.
//
// Two ways in: TryPush refuses when the box is full (for work that came from outside and can be
// refused); Push never refuses (for completions of work that was admitted before, and so is bounded
// by what TryPush let in). After Close, both drop what they are given and return false.
template <class T>
class Mailbox {
 public:
  explicit Mailbox(size_t cost_max) : cost_max_(cost_max) {}

  bool TryPush(T item, size_t cost) { return Add(std::move(item), cost, /*force=*/false); }
  bool Push(T item, size_t cost = 0) { return Add(std::move(item), cost, /*force=*/true); }
  // Like Push, but the consumer is not woken: it finds the item when it is awake for another
  // reason, or when its time limit has passed. A wake-up costs more than most items do.
  bool PushQuietly(T item) { return Add(std::move(item), 0, /*force=*/true, /*wake=*/false); }
  // Wakes the consumer if it waits and there is something.
  void Wake() {
    const MutexLock lock(mutex_);
    if (!items_.empty()) WakeConsumer();
  }

  // Waits until there is something, the box is closed, or `timeout` has passed; moves all there is
  // to the back of `out` (cost is released). False only when closed and empty.
  bool PopAll(std::vector<T>* out, SteadyTime timeout) {
    MutexLock lock(mutex_);
    if (!closed_ && items_.empty()) {
      waiting_ = true;
      ready_.WaitFor(lock, timeout,
                     [this]() CAIRN_REQUIRES(mutex_) { return closed_ || !waiting_; });
      waiting_ = false;
    }
    return Drain(out);
  }
  // The same without a time limit.
  bool PopAll(std::vector<T>* out) {
    MutexLock lock(mutex_);
    if (!closed_ && items_.empty()) {
      waiting_ = true;
      ready_.Wait(lock, [this]() CAIRN_REQUIRES(mutex_) { return closed_ || !waiting_; });
      waiting_ = false;
    }
    return Drain(out);
  }

  void Close() {
    const MutexLock lock(mutex_);
    closed_ = true;
    ready_.NotifyAll();
  }

  size_t cost() const {
    const MutexLock lock(mutex_);
    return cost_;
  }

 private:
  bool Add(T item, size_t cost, bool force, bool wake = true) {
    const MutexLock lock(mutex_);
    if (closed_) return false;
    // An item dearer than the whole box is let into an empty one, or it could never pass.
    if (!force && cost_ != 0 && cost_ + cost > cost_max_) return false;
    cost_ += cost;
    items_.push_back(std::move(item));
    if (wake) WakeConsumer();
    return true;
  }

  void WakeConsumer() CAIRN_REQUIRES(mutex_) {
    if (std::exchange(waiting_, false)) ready_.NotifyOne();
  }

  bool Drain(std::vector<T>* out) CAIRN_REQUIRES(mutex_) {
    if (items_.empty()) return !closed_;
    for (T& item : items_) out->push_back(std::move(item));
    items_.clear();
    cost_ = 0;
    return true;
  }

  const size_t cost_max_;
  mutable Mutex mutex_;
  CondVar ready_;
  std::deque<T> items_ CAIRN_GUARDED_BY(mutex_);
  size_t cost_ CAIRN_GUARDED_BY(mutex_) = 0;
  bool waiting_ CAIRN_GUARDED_BY(mutex_) =
      false;  // the consumer waits, and nobody has woken it yet
  bool closed_ CAIRN_GUARDED_BY(mutex_) = false;
};

}  // namespace cairn
