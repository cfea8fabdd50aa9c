// SnapshotWorker: the thread that makes copies of the database for peers that are too far behind.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "base/mailbox.h"
#include "base/mutex.h"
#include "base/result.h"
#include "base/status.h"
#include "node/snapshot_pace.h"
#include "state_machine/state_machine.h"
#include "transport/transport.h"

namespace cairn::node {

// The transport sends a state of the database. The state is copied if the transfer is slow or breaks
// off (state_machine/sqlite/snapshot_file.h). There is one state, or copy, at a time. Peers that
// need a snapshot meanwhile get the same one, at the same time. A peer that needs a later one is
// refused until there is no transfer any more, and is tried again by SnapshotSends.
//
// A copy is as large as the database, so the worker drops state and copy as soon as the last
// transfer of it has ended well. After a transfer that broke, the copy stays for a while: the transfer is
// attempted again, and goes on where it broke off if the copy is the same.
class SnapshotWorker {
 public:
  struct Task {
    MemberId from;
    MemberId to;
    LogIndex index_min;
    transport::Transport* transport = nullptr;
  };
  // Called once for each task, on any thread, with the index of the snapshot.
  using Sent = std::function<void(MemberId to, Status status, LogIndex index)>;

  // Called when the copy is begun, and for each piece of the copy that is read.
  using Progress = std::function<void(MemberId to, LogIndex index, uint64_t snapshot_bytes)>;

  // `writes_under_way`: see SnapshotPace.
  SnapshotWorker(
      GroupId group, state_machine::StateMachine* state, Clock* clock, Progress progress, Sent sent,
      std::function<bool()> writes_under_way = [] { return false; });
  ~SnapshotWorker() { Stop(); }

  void Start();
  void Push(const Task& task) { tasks_.Push(task); }
  // Ends the thread and the copy that it is making. Tasks that are queued are not begun.
  void Stop();

  // The body of the thread, one round at a time. The simulator, which has no threads, calls these
  // and never Start.
  void Send(const Task& task);
  // Removes a copy for which no transfer came back.
  void DropIfDue() { transfers_->DropIfDue(); }

 private:
  // What is known of the transfers of the last copy. The transport's transfers may outlive the
  // worker.
  class Transfers {
   public:
    Transfers(state_machine::StateMachine* state, Clock* clock) : state_(state), clock_(clock) {}
    // Call Begin before the state is opened. From then on the state is not dropped.
    void Begin();
    // The state could not be opened.
    void TakeBack();
    void End(MemberId to, bool well);
    void DropIfDue();
    void Close();

   private:
    void DropLocked() CAIRN_REQUIRES(mutex_);

    Mutex mutex_;
    state_machine::StateMachine* state_ CAIRN_GUARDED_BY(mutex_);  // null once the worker is gone
    Clock* const clock_;
    int running_ CAIRN_GUARDED_BY(mutex_) = 0;
    bool kept_ CAIRN_GUARDED_BY(mutex_) = false;  // there may be a copy
    // When each transfer broke. It may be attempted again.
    std::map<MemberId, SteadyTime> broken_ CAIRN_GUARDED_BY(mutex_);
  };

  using Reader = std::shared_ptr<state_machine::SnapshotReader>;

  void Run();
  // `beside`: the copy is made on another thread.
  void Serve(const Task& task, bool beside);
  // Null if the copy that `reader` reads has its maker.
  Result<Reader> OpenMaker(const state_machine::SnapshotReader& reader);
  void SendFrom(Reader reader, const Task& task);
  void Make(state_machine::SnapshotReader* reader);

  const GroupId group_;
  Clock* const clock_;
  state_machine::StateMachine* const state_;
  const Progress progress_;
  const Sent sent_;
  const std::shared_ptr<Transfers> transfers_;
  const std::shared_ptr<SnapshotPace> pace_;
  Mailbox<Task> tasks_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
  // Waits while the transfers of one copy go well, and makes the copy if they need it. `thread_`
  // owns the two.
  std::thread maker_;
  std::optional<uint64_t> maker_of_;  // the copy_id
};

}  // namespace cairn::node
