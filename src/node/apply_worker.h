// ApplyWorker: the thread that owns the state machine's writer.
#pragma once

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
  virtual void OnApplyStopped(const Status& status) = 0;
  virtual void OnCheckpointed(LogIndex durable) = 0;
  virtual void OnInstalled(const Status& status, const AppliedReport& report, LogIndex durable) = 0;
};

// All batches that are queued when the thread wakes are applied together, so that a node that has
// to catch up needs few SQLite transactions. Results go from here straight to those who wait.
// After a failure nothing more is applied, for ever: what could not be applied here is applied
// elsewhere, and going on would make this node another data base.
class ApplyWorker {
 public:
  struct InstallTask {
    std::string path;
    raft::SnapshotMeta meta;
  };
  struct CheckpointTask {};
  struct RemoveFileTask {
    std::string path;
  };
  using Task = std::variant<ApplyJob, InstallTask, CheckpointTask, RemoveFileTask>;

  ApplyWorker(const ReplicaOptions& options, FileSystem* fs, state_machine::StateMachine* state,
              Clock* clock, ApplyWorkerEvents* events);
  ~ApplyWorker() { Stop(/*checkpoint=*/false); }

  void Start();
  void Push(Task task) { tasks_.Push(std::move(task)); }
  // Does what is queued, checkpoints if asked to, then ends the thread.
  void Stop(bool checkpoint);

 private:
  void Run();
  void RunTasks(std::vector<Task> tasks);
  void Apply(std::vector<ApplyJob> jobs);
  void Install(const InstallTask& task);
  void CheckpointIfDue();
  void Checkpoint();
  void Stopped(const Status& status);
  AppliedReport Report() const;

  const ReplicaOptions options_;
  FileSystem* const fs_;
  state_machine::StateMachine* const state_;
  Clock* const clock_;
  ApplyWorkerEvents* const events_;
  Mailbox<Task> tasks_;
  SteadyTime last_checkpoint_{0};
  bool stopped_ = false;
  bool checkpoint_at_end_ = false;
  std::thread thread_;
};

}  // namespace cairn::node
