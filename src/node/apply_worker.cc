#include "node/apply_worker.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/defer_scope.h"
#include "base/log.h"
#include "base/thread_name.h"
#include "node/fence_file.h"
#include "state_machine/value_bytes.h"

namespace cairn::node {
namespace {

constexpr SteadyTime kIdleAfter = std::chrono::seconds(1);
constexpr SteadyTime kCheckpointEvery = std::chrono::seconds(30);
// The pause between two attempts to reopen a database that failed.
constexpr SteadyTime kPauseMin = std::chrono::milliseconds(200);
constexpr SteadyTime kPauseMax = std::chrono::seconds(10);

size_t RowBytes(const state_machine::CommandResult& result) {
  size_t bytes = 0;
  for (const StatementResult& statement : result.statements) {
    for (const Row& row : statement.rows) {
      bytes += sizeof(Row) + row.size() * sizeof(Value);
      for (const Value& value : row) bytes += state_machine::ContentBytes(value);
    }
  }
  return bytes;
}

void Abandon(const std::vector<EntryWaiters>& waiters, size_t from) {
  for (size_t i = from; i < waiters.size(); ++i) {
    for (const PendingCommandPtr& command : waiters[i].commands) {
      command->Finish(Unavailable("this node has stopped applying").With(Outcome::kUnknown));
    }
  }
}

}  // namespace

ApplyWorker::ApplyWorker(const ReplicaOptions& options, FileSystem* fs,
                         state_machine::StateMachine* state, Clock* clock,
                         ApplyWorkerEvents* events)
    : options_(options),
      held_results_(std::make_shared<MemoryShare>("held results", options.held_results_bytes_max)),
      fs_(fs),
      state_(state),
      clock_(clock),
      events_(events),
      last_checkpoint_(clock->SteadyNow()),
      next_scan_(clock->SteadyNow()) {}

void ApplyWorker::Start() {
  thread_ = std::thread([this] {
    NameThread("cairn-apply");
    Run();
  });
}

void ApplyWorker::Stop(bool checkpoint) {
  if (!thread_.joinable()) return;
  checkpoint_at_end_ = checkpoint;
  tasks_.Close();  // under its lock, so that the thread sees checkpoint_at_end_
  thread_.join();
}

void ApplyWorker::Run() {
  std::vector<Task> tasks;
  SteadyTime wait = kIdleAfter;
  while (tasks_.PopAll(&tasks, wait)) wait = RunRound(std::exchange(tasks, {}));
  if (checkpoint_at_end_) Checkpoint();
}

SteadyTime ApplyWorker::RunRound(std::vector<Task> tasks) {
  RunTasks(std::move(tasks));
  if (stopped_ && needs_another_version_) return kIdleAfter;
  if (stopped_) {
    ReopenIfDue();
    return std::max(SteadyTime(0), next_attempt_ - clock_->SteadyNow());
  }
  const SteadyTime wait = BoundWal();
  CheckpointIfDue();
  ScanIfDue();
  return stopped_ ? pause_ : wait;
}

// Returns when to come again.
SteadyTime ApplyWorker::BoundWal() {
  const LogIndex durable = state_->durable_index();
  const Result<SteadyTime> again = state_->BoundWal();
  if (!again.ok()) {
    Stopped(again.status());
    return pause_;
  }
  if (state_->durable_index() > durable) Checkpointed();
  return std::min(*again, kIdleAfter);
}

void ApplyWorker::RunTasks(std::vector<Task> tasks) {
  std::vector<ApplyJob> jobs;
  for (Task& task : tasks) {
    if (auto* job = std::get_if<ApplyJob>(&task)) {
      jobs.push_back(std::move(*job));
      continue;
    }
    Apply(std::exchange(jobs, {}));
    if (auto* install = std::get_if<InstallTask>(&task)) {
      Install(std::move(*install));
    } else if (auto* remove = std::get_if<RemoveFileTask>(&task)) {
      if (Status s = fs_->Remove(remove->path); !s.ok()) LOG_WARN("{}", s.message());
    } else if (auto* resume = std::get_if<ResumeTask>(&task)) {
      if (resume->stops == stops_) stopped_ = false;
    } else if (auto* fence = std::get_if<FenceTask>(&task)) {
      Fence(fence->why);
    } else {
      Checkpoint();
    }
  }
  Apply(std::move(jobs));
}

AppliedReport ApplyWorker::Report() const {
  const state_machine::AppliedState applied = state_->applied_state();
  AppliedReport report;
  report.index = applied.index;
  report.term = applied.term;
  report.lease_ms = applied.lease_ms;
  report.next_deadline_lease_ms = state_->NextDeadlineLeaseMs();
  report.time_series = state_->time_series();
  report.level = applied.level;
  report.results_hash = applied.results_hash;
  report.restored_at = applied.restored_at;
  report.wall_ms = applied.wall_ms;
  return report;
}

// The bad schedule without a bound: of three voters one is down and one acknowledges the log and
// does not apply. Clients go on with writes that return a megabyte each, and are patient.
void ApplyWorker::TakeRoom(HeldOutcomes* held) const {
  size_t taken = 0;
  for (state_machine::CommandResult& result : held->results) {
    const size_t bytes = RowBytes(result);
    if (held_results_->TryTake(bytes)) {
      taken += bytes;
      continue;
    }
    // The write is as good as any other. Its client hears what a late retry hears.
    result.statements.clear();
    result.result_gone = true;
  }
  if (taken == 0) return;
  held->room =
      std::shared_ptr<void>(nullptr, [share = held_results_, taken](void*) { share->Give(taken); });
}

void ApplyWorker::Apply(std::vector<ApplyJob> jobs) {
  if (jobs.empty()) return;
  if (stopped_) {
    for (const ApplyJob& job : jobs) Abandon(job.waiters, 0);
    return;
  }
  std::vector<raft::Entry> entries;
  std::vector<EntryWaiters> waiters;
  std::shared_ptr<ComparedResults> compared;
  const std::shared_ptr<const std::atomic<bool>> hold = jobs.front().hold_results;
  for (ApplyJob& job : jobs) {
    std::move(job.batch.entries.begin(), job.batch.entries.end(), std::back_inserter(entries));
    std::move(job.waiters.begin(), job.waiters.end(), std::back_inserter(waiters));
  }
  size_t next = 0;
  std::vector<CommandCost> costs;
  const auto on_results = [&](state_machine::EntryResults results) {
    if (!compared && hold && hold->load()) compared = std::make_shared<ComparedResults>();
    if (compared) compared->results.push_back({results.index, results.results_hash});
    if (next == waiters.size() || waiters[next].index != results.index) return;
    std::vector<PendingCommandPtr>& commands = waiters[next++].commands;
    const size_t n = std::min(commands.size(), results.results.size());
    options_.counts->commands_answered.Add(n);
    for (size_t i = 0; i < n; ++i) {
      const uint64_t steps = results.results[i].steps;
      if (std::max(steps, commands[i]->expected_steps()) >= kStepsWorthTelling) {
        costs.push_back({commands[i]->traits(), steps});
      }
    }
    if (compared) {
      compared->held.push_back({results.index, std::move(commands), std::move(results.results)});
      TakeRoom(&compared->held.back());
      return;
    }
    const DeferScope together;  // many of the answers leave by the same stream
    for (size_t i = 0; i < n; ++i) commands[i]->Finish(std::move(results.results[i]));
  };
  const LogIndex restored_at = state_->applied_state().restored_at;
  const SteadyTime began = clock_->SteadyNow();
  const raft::CommittedBatch& last = jobs.back().batch;
  const Status status = state_->Apply(entries, last.config, last.config_index, on_results);
  Abandon(waiters, next);
  if (!status.ok()) return Stopped(status);
  pause_ = SteadyTime(0);
  options_.counts->apply.Observe(clock_->SteadyNow() - began);
  options_.counts->entries_applied.Add(entries.size());
  AppliedReport report = Report();
  if (report.restored_at > restored_at) {
    // A node alone serves although it is fenced, and now has another database.
    const Status forgotten = ForgetFence(*fs_, options_.data_directory);
    if (!forgotten.ok()) LOG_WARN("{}", forgotten.message());
  }
  report.compared = std::move(compared);
  report.costs = std::move(costs);
  events_->OnApplied(report);
  if (std::unique_ptr<state_machine::StateScan> scan = state_->TakeScan()) {
    next_scan_ = clock_->SteadyNow() + options_.digest_every;
    events_->OnScan(std::move(scan));
  }
}

// A disk that fails does not end the install. In memory the core has begun with the snapshot, and
// can neither vote nor acknowledge before the snapshot is in its place. The bad schedule without
// this: a disk error meets the installs of two of five nodes, and a third node is down. None of the
// others gets a majority, so no leader ever sends the two nodes another snapshot.
void ApplyWorker::Install(InstallTask task) {
  // Also while stopped: a new database ends the trouble.
  const Status status = state_->InstallSnapshot(task.path, task.meta);
  last_checkpoint_ = clock_->SteadyNow();
  (status.ok() ? options_.counts->snapshots_installed : options_.counts->snapshot_installs_failed)
      .Add();
  if (status.ok()) {
    const Status forgotten = ForgetFence(*fs_, options_.data_directory);
    if (!forgotten.ok()) LOG_WARN("{}", forgotten.message());
  } else if (status.code() == StatusCode::kDataLoss ||
             status.code() == StatusCode::kFailedPrecondition) {
    StopApplying();
  } else {
    unfinished_ = std::move(task);
    return Stopped(Status(status).Prefixed("installing a snapshot"));
  }
  events_->OnInstalled(status, Report(), state_->durable_index());
}

void ApplyWorker::CheckpointIfDue() {
  const bool dirty = state_->durable_index() < state_->applied_index();
  if (!dirty) return;
  // What a reader holds back is not tried again with each batch, because every try syncs the WAL.
  if (state_->WalBytes() <= wal_bytes_left_ + options_.checkpoint_wal_bytes &&
      clock_->SteadyNow() - last_checkpoint_ < kCheckpointEvery) {
    return;
  }
  Checkpoint();
}

void ApplyWorker::Checkpoint() {
  if (stopped_ && !needs_another_version_) return;
  if (state_->durable_index() < state_->applied_index()) {
    const SteadyTime began = clock_->SteadyNow();
    if (const Status status = state_->Checkpoint(); !status.ok()) {
      last_checkpoint_ = clock_->SteadyNow();
      return Stopped(status);
    }
    options_.counts->checkpoint.Observe(clock_->SteadyNow() - began);
  }
  Checkpointed();
}

void ApplyWorker::Checkpointed() {
  last_checkpoint_ = clock_->SteadyNow();
  wal_bytes_left_ = state_->WalBytes();
  events_->OnCheckpointed(state_->durable_index());
}

void ApplyWorker::StopApplying() {
  options_.counts->apply_stops.Add();
  stopped_ = true;
  ++stops_;
  pause_ = std::clamp(2 * pause_, kPauseMin, kPauseMax);
  next_attempt_ = clock_->SteadyNow() + pause_;
}

void ApplyWorker::Stopped(const Status& status) {
  StopApplying();
  needs_another_version_ = status.code() == StatusCode::kUnimplemented;
  events_->OnApplyStopped(status);
}

// Without the note a restart would bring a database back into service that should be replaced.
void ApplyWorker::Fence(const Status& why) {
  const Status noted = RememberFence(*fs_, options_.data_directory, why.message());
  if (!noted.ok())
    LOG_WARN("a restart will not know that this node is fenced: {}", noted.message());
  Stopped(why);
}

// A scan also runs where nothing is written and no digest entry comes: at the start, and once a
// period.
void ApplyWorker::ScanIfDue() {
  if (options_.digest_every.count() == 0 || stopped_ || clock_->SteadyNow() < next_scan_) return;
  next_scan_ = clock_->SteadyNow() + options_.digest_every;
  Result<std::unique_ptr<state_machine::StateScan>> scan = state_->BeginScan();
  if (scan.ok()) {
    events_->OnScan(std::move(scan).value());
  } else if (scan.status().code() != StatusCode::kUnimplemented) {
    LOG_WARN("scrub: {}", scan.status().message());
  }
}

void ApplyWorker::ReopenIfDue() {
  if (clock_->SteadyNow() < next_attempt_) return;
  if (unfinished_) return Install(*std::exchange(unfinished_, std::nullopt));
  if (const Status status = state_->Reopen(); !status.ok()) return Stopped(status);
  last_checkpoint_ = clock_->SteadyNow();
  next_attempt_ = last_checkpoint_ + std::max(pause_, kPauseMin);
  events_->OnReopened(state_->applied_state(), Report());
}

}  // namespace cairn::node
