// Events from the workers into the core, and the core's output to the workers.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "base/planted.h"
#include "node/replica_core.h"

namespace cairn::node {
namespace {

// How long a follower lets entries gather that nobody waits for. A transaction of SQLite's costs as
// much as many commands, and writes to the disk each page that they share.
constexpr SteadyTime kApplyTogether = std::chrono::milliseconds(5);

}  // namespace

// ---- In

void ReplicaCore::OnMessages(std::vector<raft::Message> messages) {
  if (!raft_) return;  // not a member yet: no part in anything
  const SteadyTime now = clock_->SteadyNow();
  for (raft::Message& message : messages) {
    // To the member this node was before it was wiped, or a stranger.
    if (message.to != boot_.record().member) continue;
    last_heard_[message.from] = now;
    if (const auto* report = std::get_if<raft::DigestReport>(&message.body)) {
      OnDigestReport(message.from, *report);
      continue;
    }
    if (const auto* verdict = std::get_if<raft::DigestVerdict>(&message.body)) {
      OnDigestVerdict(message.from, *verdict);
      continue;
    }
    raft_->Step(raft::Received{std::move(message)});
  }
  // In trouble the log has a bound, and what waits in the mailbox may be far more than that.
  if (apply_trouble_.ok()) return;
  Flush();
  TellFitness();
}

void ReplicaCore::OnUnreachable(MemberId member) {
  if (raft_) raft_->Step(raft::Unreachable{member});
}

void ReplicaCore::OnPeerGone(MemberId member) {
  if (raft_) raft_->Step(raft::PeerGone{member});
}

void ReplicaCore::OnPersisted(const raft::AppendTicket& ticket) {
  while (!in_flight_persists_.empty() && in_flight_persists_.front().sequence <= ticket.sequence) {
    in_flight_persists_.pop_front();
  }
  raft_->Step(raft::Persisted{ticket});
  MaybeStartInstall();
}

void ReplicaCore::OnFetched(raft::Fetched fetched) {
  in_flight_fetches_.erase(fetched.fetch_id);
  raft_->Step(std::move(fetched));
}

void ReplicaCore::OnLogFull(const Status& status) {
  if (log_full_.ok() && !status.ok()) {
    LOG_WARN("the log cannot grow, writes are refused until it can: {}", status.message());
  } else if (!log_full_.ok() && status.ok()) {
    LOG_INFO("the log can grow again");
  }
  log_full_ = status;
}

void ReplicaCore::OnFreeBytes(uint64_t bytes) {
  // Back only with a margin, so that it does not flap around the limit.
  const uint64_t enough = free_bytes_low_ ? options_.free_bytes_min + options_.free_bytes_min / 4
                                          : options_.free_bytes_min;
  if (bytes < enough) {
    if (!free_bytes_low_) {
      LOG_WARN("the disk is nearly full, writes are refused free_bytes={} needed_bytes={}", bytes,
               options_.free_bytes_min);
      next_handover_tick_ = 0;
    }
    free_bytes_low_ = bytes;
  } else if (free_bytes_low_) {
    LOG_INFO("the disk has room again, writes are taken free_bytes={}", bytes);
    free_bytes_low_.reset();
  }
}

void ReplicaCore::OnApplied(const AppliedReport& report) {
  applied_ = report;
  raft_->Step(raft::Applied{report.index});
  if (is_leader() && report.term == raft_->term() && (!lease_ || lease_->term != report.term)) {
    // All entries before our own term are applied: this is where the lease clock stood.
    lease_ = Lease{report.term, report.lease_ms, clock_->SteadyNow()};
  }
  reads_.OnApplied(applied_.index);
  MaybeReturnToService();
}

void ReplicaCore::OnCheckpointed(LogIndex durable) {
  durable_state_ = std::max(durable_state_, durable);
  checkpoint_wanted_ = false;
  MaybeCompact();
}

// ---- Out

void ReplicaCore::Flush() {
  if (!raft_) return;
  StepProposals();
  StepReads();
  StepTellCommit();
  while (raft_->HasOutput()) {
    Route(raft_->TakeOutput());
    StepProposals();
    StepReads();
    if (!raft_->HasOutput()) StepTellCommit();
  }
  CheckInstallAccepted(nullptr);
  StepApply();
}

bool ReplicaCore::awaits_applied() const {
  if (!raft_ || shutting_down_ || reads_.awaiting_apply() || raft_->holds_back_committed())
    return true;
  return is_leader() && !lease_;
}

bool ReplicaCore::awaits_persisted() const {
  // A leader's own disk counts for the majority; a follower's acknowledgement left with the sync,
  // and what is committed meanwhile can be applied once it is durable.
  return !raft_ || is_leader() || shutting_down_ || installing_ || raft_->holds_back_committed() ||
         raft_->role() != raft::Role::kFollower;
}

SteadyTime ReplicaCore::NextFlush() const {
  // While an entry is under way its commit will come as an event.
  // While the lease clock is not known nothing is proposed, and it, too, becomes known by an event:
  // to ask for a time that is over would only spin until then.
  const bool gathering =
      uncommitted_.empty() && proposing_.empty() && LeaseNow(clock_->SteadyNow()).has_value();
  return std::min({gathering ? batcher_.gather_until() : SteadyTime::max(),
                   tell_commit_at_.value_or(SteadyTime::max()),
                   wake_apply_at_.value_or(SteadyTime::max())});
}

void ReplicaCore::Route(raft::Output output) {
  effects_->OnCoreOutput(*raft_, output);
  CheckInstallAccepted(&output);
  for (const raft::Accepted& accepted : output.accepted) {
    const auto it = proposing_.find(accepted.id);
    // A change of configuration; the job that wanted it may be over.
    if (it == proposing_.end()) continue;
    uncommitted_[accepted.index] = {it->second.size(), clock_->SteadyNow()};
    tracker_.Add(accepted.index, accepted.term, std::move(it->second));
    proposing_.erase(it);
  }
  // First the apply thread, which clients wait for and which works on its own from here; then what
  // other nodes and the disk are to do.
  if (output.committed) RouteCommitted(*std::move(output.committed));
  if (!output.send_now.empty()) effects_->Send(std::move(output.send_now));
  if (!output.persists.empty()) RoutePersists(std::move(output.persists));
  for (const raft::Fetch& fetch : output.fetches) {
    in_flight_fetches_.emplace(fetch.fetch_id, clock_->SteadyNow());
    effects_->FetchLog(fetch);
  }
  for (const raft::Dropped& dropped : output.dropped) RouteDropped(dropped);
  for (const raft::ReadGrant& grant : output.reads) {
    reads_.OnGranted(grant.id, grant.index, applied_.index);
  }
  for (const raft::SendSnapshot& send : output.send_snapshots) {
    StartSnapshot(send.peer, send.index_min);
  }
  if (output.install_snapshot) OnInstallWanted(output.install_snapshot->meta);
  if (output.soft_state_changed) OnSoftStateChanged();
}

void ReplicaCore::RoutePersists(std::vector<raft::Persist> persists) {
  const SteadyTime now = clock_->SteadyNow();
  std::vector<raft::Persist> ready;
  for (raft::Persist& persist : persists) {
    if (persist.reset_to) {
      extent_.Reset();
      uncommitted_.clear();
    }
    if (persist.truncate_from) {
      extent_.TruncateFrom(*persist.truncate_from);
      uncommitted_.erase(uncommitted_.lower_bound(*persist.truncate_from), uncommitted_.end());
      if (CAIRN_PLANTED("truncated_taken_for_not_applied")) {
        tracker_.FailAll(Unavailable("truncated").With(Outcome::kNotApplied));
      }
    }
    extent_.Append(persist.entries);
    // The file first, then the log: a file ahead of the log is known on open for an interrupted
    // install; a log reset ahead of the file would have lost the state between them.
    if (((installing_ && persist.reset_to) || !held_persists_.empty()) &&
        !CAIRN_PLANTED("log_reset_before_install")) {
      held_persists_.push_back(std::move(persist));
      continue;
    }
    in_flight_persists_.push_back({persist.ticket.sequence, now});
    ready.push_back(std::move(persist));
  }
  if (!ready.empty()) effects_->PersistLog(std::move(ready));
  MaybeStartInstall();
}

void ReplicaCore::RouteCommitted(raft::CommittedBatch batch) {
  ApplyJob job;
  const Status lost = NotLeader();
  for (const raft::Entry& entry : batch.entries) {
    auto commands = tracker_.TakeCommitted(entry.index, entry.term, lost);
    if (!commands.empty()) job.waiters.push_back({entry.index, std::move(commands)});
  }
  AdoptConfig(batch.config, batch.config_index);
  job.batch = std::move(batch);
  if (!apply_down_) return Apply(std::move(job));
  for (const EntryWaiters& waiters : job.waiters) {
    for (const PendingCommandPtr& c : waiters.commands) {
      c->Finish(Unavailable("this node has stopped applying").With(Outcome::kUnknown));
    }
  }
}

bool ReplicaCore::apply_is_urgent() const { return is_leader() || awaits_applied(); }

void ReplicaCore::Apply(ApplyJob job) {
  const bool urgent = apply_is_urgent() || !job.waiters.empty();
  effects_->Apply(std::move(job), urgent);
  if (urgent) {
    wake_apply_at_.reset();
  } else if (!wake_apply_at_) {
    wake_apply_at_ = clock_->SteadyNow() + kApplyTogether;
  }
}

void ReplicaCore::StepApply() {
  if (!wake_apply_at_) return;
  if (clock_->SteadyNow() < *wake_apply_at_ && !apply_is_urgent()) return;
  wake_apply_at_.reset();
  effects_->WakeApply();
}

void ReplicaCore::RouteDropped(const raft::Dropped& dropped) {
  using raft::DropReason;
  if (founding_proposal_ == dropped.id) {
    founding_proposal_.reset();
    return;
  }
  if (job_proposal_ == dropped.id) {
    job_proposal_.reset();
    // A hand-over ends soon: here with another try, or elsewhere with another leader.
    const bool retry = dropped.reason == DropReason::kConfigInProgress ||
                       dropped.reason == DropReason::kTransferring;
    if (job_) job_->OnRefused(dropped.detail, retry);
    return;
  }
  const auto it = proposing_.find(dropped.id);
  if (it == proposing_.end()) {
    if (dropped.reason == DropReason::kLeadershipLost) {
      reads_.OnRefused(dropped.id);
    } else {
      reads_.FailRound(dropped.id, ResourceExhausted("too many reads are waiting on this node"));
    }
    return;
  }
  std::vector<PendingCommandPtr> commands = std::move(it->second);
  proposing_.erase(it);
  Status status;
  switch (dropped.reason) {
    case DropReason::kUncommittedFull:
      status = ResourceExhausted("too much is waiting for a majority to confirm it");
      break;
    case DropReason::kTransferring: status = Unavailable("leadership is being handed over"); break;
    default: status = NotLeader(); break;
  }
  status = std::move(status).With(Outcome::kNotApplied);
  for (PendingCommandPtr& c : commands) c->Finish(status);
}

void ReplicaCore::OnSoftStateChanged() {
  static constexpr const char* kRoleNames[] = {"follower", "pre-candidate", "candidate", "leader"};
  const raft::Role role = raft_->role();
  // A node without a leader asks for pre-votes all the time: told once.
  const bool asks_again = role == raft::Role::kPreCandidate || role == raft::Role::kFollower;
  const bool told = asks_again && raft_->leader().is_none() && raft_->term() == last_term_ &&
                    last_leader_.is_none() && told_leaderless_;
  if (!told &&
      (raft_->term() != last_term_ || role != last_role_ || raft_->leader() != last_leader_)) {
    told_leaderless_ = role == raft::Role::kPreCandidate;
    LOG_INFO("{} node={} term={} leader={}", kRoleNames[static_cast<int>(role)], options_.node_id,
             raft_->term().value(), raft_->leader().value());
  }
  ++version_;
  const bool deposed = last_role_ == raft::Role::kLeader && role != raft::Role::kLeader;
  if (role == raft::Role::kLeader && last_role_ != role) WaitToLetMembersLeave();
  // Another leader's snapshot may end the trouble that the last one's did not.
  if (!raft_->leader().is_none() && raft_->leader() != snapshot_from_) {
    snapshot_pause_ticks_ = next_snapshot_tick_ = 0;
  }
  last_term_ = raft_->term();
  last_role_ = role;
  last_leader_ = raft_->leader();
  if (deposed || role != raft::Role::kLeader) {
    lease_.reset();
    uncommitted_.clear();
    founding_proposal_.reset();  // it may have been truncated; the next leader makes its own
  }
  if (deposed && job_) {
    job_->OnDeposed(!config_.joint() && !config_.Contains(boot_.record().member));
    job_.reset();
  }
  OfferReceived();
  if (transfer_ && !last_leader_.is_none() && last_leader_ != boot_.record().member) {
    auto transfer = *std::exchange(transfer_, std::nullopt);
    const bool there = transfer.target.is_none() || transfer.target == last_leader_;
    transfer.done(there ? OkStatus() : Unavailable("leadership went to another node"));
  }
  if (const auto hint = leader_hint()) {
    for (LeaderWaiter& waiter : std::exchange(leader_waiters_, {})) waiter.done(*hint);
  }
}

void ReplicaCore::MaybeCompact() {
  if (!raft_ || extent_.bytes() <= options_.log_bytes_max) return;
  LogIndex limit = CAIRN_PLANTED("log_compacted_past_the_file") ? applied_.index : durable_state_;
  // A snapshot that replaced a damaged database may stand for entries that a slow disk has not
  // yet.
  limit = std::min(limit, raft_->status().durable);
  if (const auto pinned = PinnedBySnapshots()) limit = std::min(limit, *pinned);
  const auto point = extent_.PointLeaving(options_.log_bytes_max / 2, limit);
  if (point) {
    extent_.CompactTo(point->index);
    raft_->Step(raft::Compact{point->index});
    effects_->CompactLog(*point);
  }
  if (extent_.bytes() > options_.log_bytes_max && !checkpoint_wanted_ &&
      durable_state_ < applied_.index) {
    checkpoint_wanted_ = true;
    effects_->Checkpoint();
  }
}

}  // namespace cairn::node
