#include "transport/task_thread.h"

namespace cairn::transport {

TaskThread::TaskThread() : thread_([this] { Run(); }) {}

TaskThread::~TaskThread() { Stop(); }

bool TaskThread::PostAfter(SteadyTime delay, std::function<void()> task) {
  return Add(SystemClock().SteadyNow() + delay, std::move(task));
}

bool TaskThread::Add(SteadyTime due, std::function<void()> task) {
  std::lock_guard lock(mutex_);
  if (stopping_) return false;
  tasks_.emplace(std::pair(due, next_sequence_++), std::move(task));
  changed_.notify_one();
  return true;
}

void TaskThread::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

void TaskThread::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    const SteadyTime now = SystemClock().SteadyNow();
    const auto first = tasks_.begin();
    const bool immediate = first != tasks_.end() && first->first.first == SteadyTime(0);
    if (immediate || (!stopping_ && first != tasks_.end() && first->first.first <= now)) {
      std::function<void()> task = std::move(first->second);
      tasks_.erase(first);
      lock.unlock();
      task();
      task = nullptr;  // what it captured may lock
      lock.lock();
    } else if (stopping_) {
      // Dropped outside the lock, for the same reason.
      auto dropped = std::move(tasks_);
      lock.unlock();
      return;
    } else if (first != tasks_.end()) {
      changed_.wait_for(lock, first->first.first - now);
    } else {
      changed_.wait(lock);
    }
  }
}

}  // namespace cairn::transport
