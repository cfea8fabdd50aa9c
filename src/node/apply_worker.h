// ApplyWorker: the thread that owns the state machine's writer.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "base/file_system.h"
#include "base/mailbox.h"
#include "base/memory_budget.h"
#include "node/replica.h"
#include "node/replica_effects.h"
#include "state_machine/state_machine.h"

namespace cairn::node {

// The owner of the worker. The worker calls these on its own thread.
class ApplyWorkerEvents {
 public:
  virtual ~ApplyWorkerEvents() = default;
  virtual void OnApplied(const AppliedReport& report) = 0;
  // The worker applies nothing more until a ResumeTask.
  virtual void OnApplyStopped(const Status& status) = 0;
  // After OnApplyStopped: the database is open again and stands at `state`, which is durable.
  virtual void OnReopened(const state_machine::AppliedState& state,
                          const AppliedReport& report) = 0;
  virtual void OnCheckpointed(LogIndex durable) = 0;
  // The scrub worker is to look through the scan.
  virtual void OnScan(std::unique_ptr<state_machine::StateScan> scan) = 0;
  virtual void OnInstalled(const Status& status, const AppliedReport& report, LogIndex durable) = 0;
};

// The worker applies all batches that are queued when its thread wakes together, so that a node
// that has to catch up needs few SQLite transactions. Results go from here straight to the callers.
//
// After a failure the worker drops what is queued and applies nothing more. What could not be
// applied here is applied on other nodes, and to go on past it would make another database of this
// one. The worker tries to reopen the database, at growing intervals, and reports when that has
// worked. The core then has the worker begin again from where the database stands (ResumeTask), as
// a restart of the process would. An install that fails is attempted again in the same way, unless
// the contents of the file are wrong. An entry of another version of Cairn stops applying, too, but
// nothing is wrong with the database: the worker neither reopens nor replaces the database, and
// checkpoints it.
class ApplyWorker {
 public:
  struct InstallTask {
    std::string path;
    raft::SnapshotMeta meta;
  };
  struct CheckpointTask {};
  // What follows is to be applied again. `stops` is how many stops the core knows of. If the worker
  // has stopped once more since, the order is void: the two crossed on their way.
  struct ResumeTask {
    uint64_t stops = 0;
  };
  struct FenceTask {
    Status why;
  };
  struct RemoveFileTask {
    std::string path;
  };
  using Task =
      std::variant<ApplyJob, InstallTask, CheckpointTask, RemoveFileTask, ResumeTask, FenceTask>;

  ApplyWorker(const ReplicaOptions& options, FileSystem* fs, state_machine::StateMachine* state,
              Clock* clock, ApplyWorkerEvents* events);
  ~ApplyWorker() { Stop(/*checkpoint=*/false); }

  void Start();
  void Push(Task task) { tasks_.Push(std::move(task)); }
  // The task is done with the next task that is pushed, or when Wake is called.
  void PushQuietly(Task task) { tasks_.PushQuietly(std::move(task)); }
  void Wake() { tasks_.Wake(); }
  // Does what is queued, checkpoints if `checkpoint` says so, then ends the thread.
  void Stop(bool checkpoint);

  // The body of the thread, one round at a time. The simulator, which has no threads, calls these
  // and never Start.
  //
  // Does `tasks` (there may be none) and what else is due. Returns when to call again if no task
  // comes.
  SteadyTime RunRound(std::vector<Task> tasks);
  void Checkpoint();

 private:
  void Run();
  void RunTasks(std::vector<Task> tasks);
  void CheckpointIfDue();
  SteadyTime BoundWal();
  void Checkpointed();
  void Apply(std::vector<ApplyJob> jobs);
  void Install(InstallTask task);
  void StopApplying();
  void Stopped(const Status& status);
  void Fence(const Status& why);
  void ScanIfDue();
  void ReopenIfDue();
  AppliedReport Report() const;

  // Takes memory for results that are held; leaves out what finds no room.
  void TakeRoom(HeldOutcomes* held) const;

  const ReplicaOptions options_;
  // Shared with the results, which may outlive this object.
  const std::shared_ptr<MemoryShare> held_results_;
  FileSystem* const fs_;
  state_machine::StateMachine* const state_;
  Clock* const clock_;
  ApplyWorkerEvents* const events_;
  Mailbox<Task> tasks_;
  SteadyTime last_checkpoint_{0};
  uint64_t wal_bytes_left_ = 0;  // left by the last checkpoint, because a reader needs it
  SteadyTime next_scan_;         // unless a digest entry comes before
  bool stopped_ = false;
  bool needs_another_version_ = false;  // no restart or reopening of this build ends the stop
  uint64_t stops_ = 0;
  SteadyTime pause_{0};  // before the next attempt to reopen; 0 once something was applied
  SteadyTime next_attempt_{0};
  std::optional<InstallTask> unfinished_;  // attempted again, instead of reopening
  bool checkpoint_at_end_ = false;
  std::thread thread_;
};

}  // namespace cairn::node
