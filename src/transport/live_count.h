// LiveCount: how Shutdown knows that nothing runs any more.
#pragma once

#include <cstdint>
#include <utility>

#include "base/mutex.h"

namespace cairn::transport {

// Counts calls, streams and threads under way. Thread-safe.
class LiveCount {
 public:
  // False once closed: the caller must not begin. Else it must Leave once, as its last act.
  bool Enter() {
    const MutexLock lock(mutex_);
    if (closed_) return false;
    ++count_;
    return true;
  }
  void Leave() {
    const MutexLock lock(mutex_);
    if (--count_ == 0) changed_.NotifyAll();
  }
  // Lets nothing in from now on. True for the first caller.
  bool Close() {
    const MutexLock lock(mutex_);
    return !std::exchange(closed_, true);
  }
  bool closed() const {
    const MutexLock lock(mutex_);
    return closed_;
  }
  void AwaitNone() {
    MutexLock lock(mutex_);
    changed_.Wait(lock, [this]() CAIRN_REQUIRES(mutex_) { return count_ == 0; });
  }

 private:
  mutable Mutex mutex_;
  CondVar changed_;
  uint64_t count_ CAIRN_GUARDED_BY(mutex_) = 0;
  bool closed_ CAIRN_GUARDED_BY(mutex_) = false;
};

}  // namespace cairn::transport
