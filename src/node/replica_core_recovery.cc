// Trouble of the state machine: what the parts do when it comes and when it ends. Recovery says
// which way out is taken (recovery.h).
#include <algorithm>
#include <string>
#include <utility>

#include "base/log.h"
#include "node/replica_core.h"

namespace cairn::node {

void ReplicaCore::OnApplyStopped(const Status& status) {
  recovery_.OnStopped(status.code());
  compaction_.OnApplyStopped();
  EnterTrouble(status);
  if (context_.raft) TellFitness();
}

void ReplicaCore::OnFenced(const Status& why) {
  EnterTrouble(why);
  TellFitness();
}

void ReplicaCore::EnterTrouble(const Status& why) {
  const bool news = recovery_.Enter(why);
  ++context_.version;
  if (!news || !context_.raft) return;
  recovery_.ReturnNotBefore(context_.raft->commit());
  fitness_.HandOverSoon();
  context_.raft->Step(raft::StepDown{context_.Elections(4)});
  install_.Abandon();
  reads_.FailAll(Unavailable("this node has stopped applying: " + why.message()));
  // Whether the cluster commits these or not, this node will not see their results.
  const Status unknown = Unavailable("this node has stopped applying").With(Outcome::kUnknown);
  proposals_.FailLogged(unknown);
  results_.FailHeld(unknown);
}

bool ReplicaCore::WantsSnapshot() const {
  return recovery_.WantsSnapshot() && !install_.installing();
}

// The log must go on from the snapshot. And below the durable index the snapshot's configuration
// would be older than what this node has already forgotten.
LogIndex ReplicaCore::RecoverySnapshotMin() const {
  return std::max({compaction_.durable_state(), context_.raft->status().first - 1, LogIndex(1)});
}

LogIndex ReplicaCore::snapshot_min() const {
  if (in_service()) return applied_.index + 1;
  if (WantsSnapshot()) return RecoverySnapshotMin();
  return LogIndex(UINT64_MAX);
}

void ReplicaCore::OnSnapshotReceived(MemberId from, const raft::SnapshotMeta& meta,
                                     const std::string& path) {
  if (install_.Holds(path)) return;
  if (!context_.raft || install_.busy() || meta.index < snapshot_min()) {
    return context_.effects->RemoveFile(path);
  }
  context_.options.counts->snapshots_received.Add();
  if (!WantsSnapshot()) return install_.Keep({from, meta, path});
  // The Raft core does not hear of this snapshot, and its log may hold all of it.
  recovery_.OnReplacing(from);
  install_.Replace({from, meta, path});
  TellFitness();
}

void ReplicaCore::OnInstalled(const Status& status, const AppliedReport& report, LogIndex durable) {
  const ReceivedSnapshot installed = install_.OnInstalled();
  if (!status.ok()) {
    // The file was sound when the Raft core heard of it, and is damaged now: the disk rots. Nothing
    // of what the Raft core has begun with in memory was written (SnapshotInstall holds it), and
    // nothing is written before a snapshot that reaches as far is in its place. A restart finds log
    // and database as they were.
    context_.effects->RemoveFile(installed.path);
    recovery_.OnDamaged();
    return OnApplyStopped(Status(status).Prefixed("installing a snapshot"));
  }
  LOG_INFO("snapshot installed index={}", installed.meta.index.value());
  compaction_.OnStateReplaced(durable);
  digests_.OnReplaced(installed.meta.index);
  Resume(installed.meta, report);
}

void ReplicaCore::OnReopened(const state_machine::AppliedState& state,
                             const AppliedReport& report) {
  // Otherwise an install is under way, or this comes late.
  if (!recovery_.down() || install_.installing()) return;
  if (recovery_.damaged_beyond_reopening()) return;
  const LogIndex log_begins_after = context_.raft->status().first - 1;
  if (state.index < std::max(compaction_.durable_state(), log_begins_after)) {
    recovery_.OnDamaged();
    return EnterTrouble(DataLoss("the database went back to index " + ToString(state.index) +
                                 ", and the log begins after " + ToString(log_begins_after)));
  }
  compaction_.OnStateReplaced(state.index);
  Resume({state.index, state.term, state.config, state.config_index}, report);
}

// The database stands at `meta`: what follows is applied from there.
void ReplicaCore::Resume(const raft::SnapshotMeta& meta, const AppliedReport& report) {
  const bool down = recovery_.Resume();
  digests_.ForgetFindings();
  SetApplied(report);
  freshness_.OnStateReplaced(applied_.index);
  results_.OnRestored({report.index, report.results_hash});
  AdoptConfig(meta.config, meta.config_index);
  proposals_.OnOvertaken(meta.index);
  std::vector<raft::Persist> held = install_.TakeHeld();
  for (const raft::Persist& persist : held) disk_.OnPersistBegun(persist.ticket.sequence);
  if (!held.empty()) context_.effects->PersistLog(std::move(held));
  context_.raft->Step(raft::Restored{meta});
  context_.effects->OnCoreRestored(*context_.raft, meta.index);
  if (down) context_.effects->ResumeApply(recovery_.stops());
  reads_.OnApplied(readable());
  MaybeReturnToService();
  TellFitness();
}

void ReplicaCore::SetApplied(const AppliedReport& report) {
  if (report.restored_at > applied_.restored_at) digests_.OnRestored(report.restored_at);
  applied_ = report;
  applied_.compared.reset();
  context_.level = report.level;
  new_cluster_level_.OnApplied(report);
}

// The node returns only once it holds all that was committed when the trouble began: what it
// applied before, and at least one entry more.
void ReplicaCore::MaybeReturnToService() {
  if (!digests_.fence().ok() || !recovery_.MaybeEnd(applied_.index)) return;
  ++context_.version;
  TellFitness();
}

void ReplicaCore::TellFitness() {
  raft::Fitness now;
  now.can_lead = in_service() && !disk_.low() && !context_.shutting_down;
  // Nothing of the log can be dropped while the database stands still. The entries that the log has
  // stay, and count. But the log must not fill the disk.
  now.takes_entries = in_service() || compaction_.log_bytes() <= 2 * context_.options.log_bytes_max;
  if (WantsSnapshot()) now.snapshot_min = RecoverySnapshotMin();
  fitness_.Tell(now);
}

}  // namespace cairn::node
