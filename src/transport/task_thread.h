// TaskThread: a thread that runs what it is given, now or after a delay.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "base/mutex.h"

namespace cairn::transport {

// Runs tasks one at a time: those posted without delay in the order they came, delayed ones when
// they are due. Tasks must be short. Thread-safe, but for Stop.
class TaskThread {
 public:
  TaskThread();
  ~TaskThread();
  TaskThread(const TaskThread&) = delete;
  TaskThread& operator=(const TaskThread&) = delete;

  // False (and the task is dropped) after Stop.
  bool Post(std::function<void()> task) { return Add(SteadyTime(0), std::move(task)); }
  bool PostAfter(SteadyTime delay, std::function<void()> task);
  // Runs what was posted without delay, drops the rest, and joins. Not from a task.
  void Stop();

 private:
  bool Add(SteadyTime due, std::function<void()> task);
  void Run();

  Mutex mutex_;
  CondVar changed_;
  // Key: when due (zero: at once), then the order of arrival.
  std::map<std::pair<SteadyTime, uint64_t>, std::function<void()>> tasks_ CAIRN_GUARDED_BY(mutex_);
  uint64_t next_sequence_ CAIRN_GUARDED_BY(mutex_) = 0;
  bool stopping_ CAIRN_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace cairn::transport
