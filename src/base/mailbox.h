// Mailbox<T>: a queue between threads. Many producers, one consumer.
#pragma once

#include <deque>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"

namespace cairn {

// Thread-safe. A mailbox has no bound of its own and refuses no item: the code that counts what is
// in flight has admitted each item before (docs/internals/threads.md has the bounds). After Close
// the mailbox drops new items.
template <class T>
class Mailbox {
 public:
  // False if the mailbox is closed.
  bool Push(T item) { return Add(std::move(item), /*wake=*/true); }
  // Like Push, but does not wake the consumer: the consumer finds the item when it is awake for
  // another reason, or when its time limit has passed. A wake-up costs more than most items do.
  bool PushQuietly(T item) { return Add(std::move(item), /*wake=*/false); }
  // Wakes the consumer if it waits and there is an item.
  void Wake() {
    const MutexLock lock(mutex_);
    if (!items_.empty()) WakeConsumer();
  }

  // Waits until there is an item, the mailbox is closed, or `timeout` has passed. Moves all items
  // to the back of `out`. False only if the mailbox is closed and empty.
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

 private:
  bool Add(T item, bool wake) {
    const MutexLock lock(mutex_);
    if (closed_) return false;
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
    return true;
  }

  mutable Mutex mutex_;
  CondVar ready_;
  std::deque<T> items_ CAIRN_GUARDED_BY(mutex_);
  // True if the consumer waits and no producer has woken it yet.
  bool waiting_ CAIRN_GUARDED_BY(mutex_) = false;
  bool closed_ CAIRN_GUARDED_BY(mutex_) = false;
};

}  // namespace cairn
