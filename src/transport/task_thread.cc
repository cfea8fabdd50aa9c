#include "transport/task_thread.h"

namespace cairn::transport {

TaskThread::TaskThread() : thread_([this] { Run(); }) {}

TaskThread::~TaskThread() { Stop(); }

bool TaskThread::PostAfter(SteadyTime delay, std::function<void()> task) {
  return Add(SystemClock().SteadyNow() + delay, std::move(task));
}

bool TaskThread::Add(SteadyTime due, std::function<void()> task) {
  const MutexLock lock(mutex_);
  if (stopping_) return false;
  tasks_.emplace(std::pair(due, next_sequence_++), std::move(task));
  changed_.NotifyOne();
  return true;
}

void TaskThread::Stop() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    changed_.NotifyOne();
  }
  if (thread_.joinable()) thread_.join();
}

void TaskThread::Run() {
  MutexLock lock(mutex_);
  while (true) {
    const SteadyTime now = SystemClock().SteadyNow();
    const auto first = tasks_.begin();
    const bool immediate = first != tasks_.end() && first->first.first == SteadyTime(0);
    if (immediate || (!stopping_ && first != tasks_.end() && first->first.first <= now)) {
      std::function<void()> task = std::move(first->second);
      tasks_.erase(first);
      lock.Unlock();
      task();
      task = nullptr;  // what it captured may lock
      lock.Lock();
    } else if (stopping_) {
      // The tasks are dropped outside the lock because what they captured may lock.
      auto dropped = std::move(tasks_);
      lock.Unlock();
      return;
    } else if (first != tasks_.end()) {
      changed_.WaitFor(lock, first->first.first - now);
    } else {
      changed_.Wait(lock);
    }
  }
}

}  // namespace cairn::transport
