// std::mutex and related types with the annotations that -Wthread-safety needs: the standard
// library's types have no annotations.
#pragma once

#include <condition_variable>
#include <mutex>
#include <utility>

#include "base/clock.h"
#include "base/thread_annotations.h"

namespace cairn {

class CAIRN_CAPABILITY("mutex") Mutex {
 public:
  void Lock() CAIRN_ACQUIRE() { mutex_.lock(); }
  void Unlock() CAIRN_RELEASE() { mutex_.unlock(); }
  bool TryLock() CAIRN_TRY_ACQUIRE(true) { return mutex_.try_lock(); }

 private:
  friend class MutexLock;
  std::mutex mutex_;
};

// Holds a mutex for the lock's lifetime, except between Unlock and Lock.
class CAIRN_SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) CAIRN_ACQUIRE(mutex) : lock_(mutex.mutex_) {}
  ~MutexLock() CAIRN_RELEASE() = default;
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;
  void Unlock() CAIRN_RELEASE() { lock_.unlock(); }
  void Lock() CAIRN_ACQUIRE() { lock_.lock(); }

 private:
  friend class CondVar;
  std::unique_lock<std::mutex> lock_;
};

// A condition runs with the mutex held, which its lambda says: `[&]() CAIRN_REQUIRES(mutex_) {}`.
class CondVar {
 public:
  void Wait(MutexLock& lock) { changed_.wait(lock.lock_); }
  void WaitFor(MutexLock& lock, SteadyTime timeout) { changed_.wait_for(lock.lock_, timeout); }
  template <class Condition>
  void Wait(MutexLock& lock, Condition condition) {
    changed_.wait(lock.lock_, std::move(condition));
  }
  // Returns false if the condition is still false when the timeout has passed.
  template <class Condition>
  bool WaitFor(MutexLock& lock, SteadyTime timeout, Condition condition) {
    return changed_.wait_for(lock.lock_, timeout, std::move(condition));
  }
  void NotifyOne() { changed_.notify_one(); }
  void NotifyAll() { changed_.notify_all(); }

 private:
  std::condition_variable changed_;
};

}  // namespace cairn
