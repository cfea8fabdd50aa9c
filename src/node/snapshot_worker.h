// SnapshotWorker: the thread that makes copies of the database for peers that are too far behind.
#pragma once

#include <atomic>
#include <functional>
#include <thread>

#include "base/ids.h"
#include "base/mailbox.h"
#include "base/status.h"
#include "state_machine/state_machine.h"
#include "transport/transport.h"

namespace cairn::node {

// Making a copy is long; sending it is the transport's work. One copy at a time.
class SnapshotWorker {
 public:
  struct Task {
    MemberId from;
    MemberId to;
    LogIndex index_min;
    transport::Transport* transport = nullptr;
  };
  // Called once for each task, on any thread, with the snapshot's index.
  using Sent = std::function<void(MemberId to, Status status, LogIndex index)>;

  // Called when the copy is made, and with each piece that is read of it.
  using Progress = std::function<void(MemberId to, LogIndex index, uint64_t snapshot_bytes)>;

  SnapshotWorker(GroupId group, state_machine::StateMachine* state, Progress progress, Sent sent);
  ~SnapshotWorker() { Stop(); }

  void Start();
  void Push(const Task& task) { tasks_.Push(task); }
  // Ends the thread after the copy it is making; what is queued is not begun.
  void Stop();

  // The body of the thread. The simulator, which has no threads, calls it and never Start.
  void Send(const Task& task);

 private:
  void Run();

  const GroupId group_;
  state_machine::StateMachine* const state_;
  const Progress progress_;
  const Sent sent_;
  Mailbox<Task> tasks_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace cairn::node
