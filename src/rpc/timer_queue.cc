#include "rpc/timer_queue.h"

#include <utility>

namespace cairn::rpc {

TimerQueue::TimerQueue(Clock* clock) : clock_(clock), thread_([this] { Run(); }) {}

TimerQueue::~TimerQueue() { Stop(); }

void TimerQueue::RunAt(SteadyTime when, std::function<void()> task) {
  {
    std::lock_guard lock(mutex_);
    if (!stopped_) {
      const auto at = tasks_.emplace(when, std::move(task));
      if (at == tasks_.begin()) changed_.notify_one();
      return;
    }
  }
  task();
}

void TimerQueue::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
    changed_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

void TimerQueue::Run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    if (tasks_.empty()) {
      if (stopped_) return;
      changed_.wait(lock);
      continue;
    }
    const SteadyTime wait = tasks_.begin()->first - clock_->SteadyNow();
    if (wait.count() > 0 && !stopped_) {
      changed_.wait_for(lock, wait);
      continue;
    }
    auto first = tasks_.extract(tasks_.begin());
    lock.unlock();
    first.mapped()();
    lock.lock();
  }
}

}  // namespace cairn::rpc
