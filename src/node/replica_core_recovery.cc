// Trouble of the state machine, and the ways out of it.
//
// The log is whole all the while: it keeps what the database does not durably hold. So for a
// failure that passes (a full disk, a sync that failed) the database is reopened and the log
// applied again from where it stands, as after a restart of the process. What is damaged is
// replaced by a snapshot that the leader is asked for. A restart is always a way out, too, unless
// the file is damaged.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "base/planted.h"
#include "node/replica_core.h"

namespace cairn::node {
namespace {

// A failure that may pass is met by reopening the database so many times before the leader is
// asked for another one; a full disk for ever, because a copy needs more space.
constexpr uint64_t kFailuresMax = 3;
// Between two snapshots, of which the first did not end the trouble: in election timeouts.
constexpr uint64_t kSnapshotPauseMin = 10;
constexpr uint64_t kSnapshotPauseMax = 640;

}  // namespace

void ReplicaCore::OnApplyStopped(const Status& status) {
  ++apply_stops_;
  ++failures_;
  apply_down_ = true;
  checkpoint_wanted_ = false;
  if (status.code() == StatusCode::kDataLoss) damaged_ = true;
  EnterApplyTrouble(status);
  if (raft_) TellFitness();
}

void ReplicaCore::EnterApplyTrouble(const Status& status) {
  if (status != apply_trouble_) {
    LOG_ERROR("this node can not apply the log and is out of service; it goes on trying: {}",
              status.ToString());
  }
  const bool news = apply_trouble_.ok();
  apply_trouble_ = status;
  ++version_;
  if (!news || !raft_) return;
  back_in_service_at_ = raft_->commit();
  next_handover_tick_ = 0;
  raft_->Step(raft::StepDown{4 * options_.election_ticks});
  if (received_) {
    raft_->Step(raft::SnapshotFailed{});
    install_wanted_.reset();
    DiscardReceived();
  }
  reads_.FailAll(Unavailable("this node has stopped applying: " + status.message()));
  // Committed by the cluster or not: this node will not see their results.
  tracker_.FailAll(Unavailable("this node has stopped applying").With(Outcome::kUnknown));
}

std::string ReplicaCore::TroubleInWords() const {
  std::string words = "this node has stopped applying: " + apply_trouble_.message();
  if (!apply_down_) return words + "; it catches up again";
  if (installing_) return words + "; a snapshot is being installed";
  if (NeedsSnapshot()) return words + "; it waits for a snapshot from the leader";
  if (damaged_) return words + "; there is no other node to get a copy of the data from";
  return words + "; it is tried again";
}

// Without a peer there is nobody to get one from.
bool ReplicaCore::NeedsSnapshot() const {
  if (!apply_down_ || config_.info.size() < 2) return false;
  return damaged_ ||
         (failures_ >= kFailuresMax && apply_trouble_.code() != StatusCode::kResourceExhausted);
}

bool ReplicaCore::WantsSnapshot() const {
  return NeedsSnapshot() && !installing_ && ticks_ >= next_snapshot_tick_;
}

// The log must go on from it; and before what is durable its configuration would be older than what
// this node has already forgotten.
LogIndex ReplicaCore::RecoverySnapshotMin() const {
  return std::max({durable_state_, raft_->status().first - 1, LogIndex(1)});
}

LogIndex ReplicaCore::snapshot_min() const {
  if (apply_trouble_.ok()) return applied_.index + 1;
  if (WantsSnapshot()) return RecoverySnapshotMin();
  return LogIndex(UINT64_MAX);
}

void ReplicaCore::OnReopened(const state_machine::AppliedState& state,
                             const AppliedReport& report) {
  // Else an install is under way, or this comes late.
  if (!apply_down_ || installing_) return;
  if (damaged_ && NeedsSnapshot()) return;
  if (state.index < std::max(durable_state_, raft_->status().first - 1)) {
    damaged_ = true;
    EnterApplyTrouble(DataLoss("the database went back to index " + ToString(state.index) +
                               ", and the log begins after " +
                               ToString(raft_->status().first - 1)));
    return;
  }
  durable_state_ = state.index;
  Resume({state.index, state.term, state.config, state.config_index}, report);
}

// The log needs no part in this: the core was not told of the snapshot, and may hold all of it.
void ReplicaCore::BeginRecoveryInstall(ReceivedSnapshot snapshot) {
  LOG_INFO("replacing the database by a snapshot index={} term={}", snapshot.meta.index.value(),
           snapshot.meta.term.value());
  snapshot_from_ = snapshot.from;
  installing_ = std::move(snapshot);
  install_started_ = true;
  snapshot_pause_ticks_ =
      std::clamp(2 * snapshot_pause_ticks_, kSnapshotPauseMin * options_.election_ticks,
                 kSnapshotPauseMax * options_.election_ticks);
  next_snapshot_tick_ = ticks_ + snapshot_pause_ticks_;
  effects_->InstallSnapshot(installing_->path, installing_->meta);
  TellFitness();
}

// The database stands at `meta`: what follows is applied from there.
void ReplicaCore::Resume(const raft::SnapshotMeta& meta, const AppliedReport& report) {
  const bool down = std::exchange(apply_down_, false);
  damaged_ = false;
  ForgetFindings();
  applied_ = report;
  AdoptConfig(meta.config, meta.config_index);
  tracker_.FailUpTo(
      meta.index, Unavailable("the node was overtaken by a snapshot that may or may "
                              "not hold the write")
                      .With(CAIRN_PLANTED("overtaken_taken_for_not_applied") ? Outcome::kNotApplied
                                                                             : Outcome::kUnknown));
  const SteadyTime now = clock_->SteadyNow();
  for (const raft::Persist& persist : held_persists_) {
    in_flight_persists_.push_back({persist.ticket.sequence, now});
  }
  if (!held_persists_.empty()) effects_->PersistLog(std::exchange(held_persists_, {}));
  raft_->Step(raft::Restored{meta});
  effects_->OnCoreRestored(*raft_, meta.index);
  if (down) effects_->ResumeApply(apply_stops_);
  reads_.OnApplied(applied_.index);
  MaybeReturnToService();
  TellFitness();
}

// Not before it holds all that was committed when the trouble began: what it applied before, and at
// least one entry more than it could.
void ReplicaCore::MaybeReturnToService() {
  if (apply_trouble_.ok() || apply_down_ || !fence_.ok() || applied_.index < back_in_service_at_)
    return;
  LOG_INFO("applies the log again and is back in service index={}", applied_.index.value());
  apply_trouble_ = OkStatus();
  failures_ = 0;
  snapshot_pause_ticks_ = next_snapshot_tick_ = 0;
  ++version_;
  TellFitness();
}

void ReplicaCore::TellFitness() {
  raft::Fitness now;
  now.can_lead = apply_trouble_.ok() && !free_bytes_low_ && !shutting_down_;
  // Nothing of the log can be dropped while the database stands still. What it has taken stays,
  // and counts; but it must not fill the disk.
  now.takes_entries = apply_trouble_.ok() || extent_.bytes() <= 2 * options_.log_bytes_max;
  if (WantsSnapshot()) now.snapshot_min = RecoverySnapshotMin();
  if (now == fitness_) return;
  fitness_ = now;
  raft_->Step(now);
}

}  // namespace cairn::node
