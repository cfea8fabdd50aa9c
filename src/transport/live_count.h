// LiveCount: how Shutdown knows that nothing runs any more.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <utility>

namespace cairn::transport {

// Counts calls, streams and threads under way. Thread-safe.
class LiveCount {
 public:
  // False once closed: the caller must not begin. Else it must Leave once, as its last act.
  bool Enter() {
    std::lock_guard lock(mutex_);
    if (closed_) return false;
    ++count_;
    return true;
  }
  void Leave() {
    std::lock_guard lock(mutex_);
    if (--count_ == 0) changed_.notify_all();
  }
  // Lets nothing in from now on. True for the first caller.
  bool Close() {
    std::lock_guard lock(mutex_);
    return !std::exchange(closed_, true);
  }
  bool closed() const {
    std::lock_guard lock(mutex_);
    return closed_;
  }
  void AwaitNone() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return count_ == 0; });
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t count_ = 0;
  bool closed_ = false;
};

}  // namespace cairn::transport
