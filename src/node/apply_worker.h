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
#include "node/replica.h"
#include "node/replica_effects.h"
#include "state_machine/state_machine.h"

namespace cairn::node {

// What the worker tells, on its own thread.
class ApplyWorkerEvents {
 public:
  virtual ~ApplyWorkerEvents() = default;
  virtual void OnApplied(const AppliedReport& report) = 0;
  // Nothing more is applied until a ResumeTask.
  virtual void OnApplyStopped(const Status& status) = 0;
  // After OnApplyStopped: the database is open again and stands at `state`, which is durable.
  virtual void OnReopened(const state_machine::AppliedState& state,
                          const AppliedReport& report) = 0;
  virtual void OnCheckpointed(LogIndex durable) = 0;
  // To be looked through by the scrub worker.
  virtual void OnScan(std::unique_ptr<state_machine::StateScan> scan) = 0;
  virtual void OnInstalled(const Status& status, const AppliedReport& report, LogIndex durable) = 0;
};

// All batches that are queued when the thread wakes are applied together, so that a node that has
// to catch up needs few SQLite transactions. Results go from here straight to those who wait.
//
// After a failure what is queued is dropped and nothing more is applied: what could not be applied
// here is applied elsewhere, and going on past it would make this node another database. The
// worker tries to reopen the database, at growing intervals, and tells when that has worked; the
// core then has it begin again from where the database stands (ResumeTask). So the way out is the
// one that a restart of the process takes. An install that fails, but for what is in the file, is
// attempted again in the same way. An entry of another version of Cairn stops applying, too, but
// nothing is wrong with the database: it is neither reopened nor replaced, and is checkpointed.
class ApplyWorker {
 public:
  struct InstallTask {
    std::string path;
    raft::SnapshotMeta meta;
  };
  struct CheckpointTask {};
  // What follows is to be applied again. `stops` is how many stops the core knows of: an order that
  // crossed another failure on its way is void.
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
  // To be done with the next task that is pushed, or when Wake is called.
  void PushQuietly(Task task) { tasks_.PushQuietly(std::move(task)); }
  void Wake() { tasks_.Wake(); }
  // Does what is queued, checkpoints if asked to, then ends the thread.
  void Stop(bool checkpoint);

  // The body of the thread, one round at a time. The simulator, which has no threads, calls these
  // and never Start.
  //
  // Does `tasks` (there may be none) and what else is due; gives when to call again if nothing
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

  const ReplicaOptions options_;
  FileSystem* const fs_;
  state_machine::StateMachine* const state_;
  Clock* const clock_;
  ApplyWorkerEvents* const events_;
  Mailbox<Task> tasks_;
  SteadyTime last_checkpoint_{0};
  uint64_t wal_bytes_left_ = 0;  // by the last checkpoint, for a reader's sake
  SteadyTime next_scan_;         // if no digest entry comes before
  bool stopped_ = false;
  bool needs_another_version_ = false;  // ... and nothing that this process can do ends it
  uint64_t stops_ = 0;
  SteadyTime pause_{0};  // before the next attempt to reopen; zero once something was applied
  SteadyTime next_attempt_{0};
  std::optional<InstallTask> unfinished_;  // is attempted, instead of reopening
  bool checkpoint_at_end_ = false;
  std::thread thread_;
};

}  // namespace cairn::node
