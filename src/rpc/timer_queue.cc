#include "rpc/timer_queue.h"

#include <utility>

namespace cairn::rpc {

TimerQueue::TimerQueue(Clock* clock) : clock_(clock), thread_([this] { Run(); }) {}

TimerQueue::~TimerQueue() { Stop(); }

void TimerQueue::RunAt(SteadyTime when, std::function<void()> task) {
  {
    MutexLock lock(mutex_);
    if (!stopped_) {
      const auto at = tasks_.emplace(when, std::move(task));
      if (at == tasks_.begin()) changed_.NotifyOne();
      return;
    }
  }
  task();
}

void TimerQueue::Stop() {
  {
    MutexLock lock(mutex_);
    stopped_ = true;
    changed_.NotifyOne();
  }
  if (thread_.joinable()) thread_.join();
}

void TimerQueue::Run() {
  MutexLock lock(mutex_);
  for (;;) {
    if (tasks_.empty()) {
      if (stopped_) return;
      changed_.Wait(lock);
      continue;
    }
    const SteadyTime wait = tasks_.begin()->first - clock_->SteadyNow();
    if (wait.count() > 0 && !stopped_) {
      changed_.WaitFor(lock, wait);
      continue;
    }
    auto first = tasks_.extract(tasks_.begin());
    lock.Unlock();
    first.mapped()();
    lock.Lock();
  }
}

}  // namespace cairn::rpc
