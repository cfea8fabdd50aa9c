// TimerQueue: runs tasks at their times, on one thread of its own.
#pragma once

#include <functional>
#include <map>
#include <thread>

#include "base/clock.h"
#include "base/mutex.h"
#include "rpc/timers.h"

namespace cairn::rpc {

// Thread-safe. Tasks are short and do not block. The owner bounds their number.
class TimerQueue final : public Timers {
 public:
  explicit TimerQueue(Clock* clock);
  ~TimerQueue() override;
  TimerQueue(const TimerQueue&) = delete;
  TimerQueue& operator=(const TimerQueue&) = delete;

  // After Stop the task runs at once, on the calling thread.
  void RunAt(SteadyTime when, std::function<void()> task) override;
  void RunAfter(SteadyTime delay, std::function<void()> task) {
    RunAt(clock_->SteadyNow() + delay, std::move(task));
  }
  // Runs all waiting tasks at once, and ends the thread. Every task runs, and sees by its owner's
  // flag that the owner has stopped. Not from a task. May be called twice.
  void Stop();

 private:
  void Run();

  Clock* const clock_;
  Mutex mutex_;
  CondVar changed_;
  std::multimap<SteadyTime, std::function<void()>> tasks_ CAIRN_GUARDED_BY(mutex_);
  bool stopped_ CAIRN_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace cairn::rpc
