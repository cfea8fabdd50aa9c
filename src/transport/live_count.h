// LiveCount: tells Shutdown when nothing runs any more.
#pragma once

#include <cstdint>
#include <utility>

#include "base/mutex.h"

namespace cairn::transport {

// Counts calls, streams and threads in progress. Thread-safe.
class LiveCount {
 public:
  // Returns false once closed: the caller must not begin. After true, the caller must call Leave
  // once, as its last act.
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
  // Makes every later Enter return false. Returns true for the first caller of Close.
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
