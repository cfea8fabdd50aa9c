// TaskThread: a thread that runs tasks, now or after a delay.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "base/mutex.h"

namespace cairn::transport {

// Runs one task at a time. Tasks posted without a delay run in the order of arrival; delayed tasks
// run when they are due. Tasks must be short. Thread-safe, except Stop.
class TaskThread {
 public:
  TaskThread();
  ~TaskThread();
  TaskThread(const TaskThread&) = delete;
  TaskThread& operator=(const TaskThread&) = delete;

  // Returns false and drops the task after Stop.
  bool Post(std::function<void()> task) { return Add(SteadyTime(0), std::move(task)); }
  bool PostAfter(SteadyTime delay, std::function<void()> task);
  // Runs the tasks that were posted without a delay, drops the rest, and joins the thread. Do not
  // call Stop from a task.
  void Stop();

 private:
  bool Add(SteadyTime due, std::function<void()> task);
  void Run();

  Mutex mutex_;
  CondVar changed_;
  // The key is the time when the task is due (zero: at once), then the order of arrival.
  std::map<std::pair<SteadyTime, uint64_t>, std::function<void()>> tasks_ CAIRN_GUARDED_BY(mutex_);
  uint64_t next_sequence_ CAIRN_GUARDED_BY(mutex_) = 0;
  bool stopping_ CAIRN_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace cairn::transport
