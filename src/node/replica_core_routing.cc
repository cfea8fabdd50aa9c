// Events from the workers into the Raft core, and its output to the workers.
#include <algorithm>
#include <utility>

#include "base/log.h"
#include "node/replica_core.h"

namespace cairn::node {
namespace {

// How long a follower lets entries gather for which nobody waits. A transaction of SQLite costs as
// much as many commands, and writes each page that the commands share to the disk once.
constexpr SteadyTime kApplyTogether = std::chrono::milliseconds(5);
// How long the news of a commit waits for an append to travel with. Reads on followers do not wait
// for it, because they bring the news with their read index.
constexpr SteadyTime kTellCommitAfter = std::chrono::milliseconds(2);

}  // namespace

// ---- In

// In a heartbeat a leader commits only what this member acknowledged to it. A log that ends before
// that was set back, or its disk has lost what it had synced.
bool ReplicaCore::LacksAcknowledged(const raft::Message& message) const {
  const auto* heartbeat = std::get_if<raft::Heartbeat>(&message.body);
  return heartbeat != nullptr && message.term >= context_.raft->term() &&
         heartbeat->commit > context_.raft->last();
}

void ReplicaCore::OnMessages(const raft::Boot& sender, std::vector<raft::Message> messages) {
  // This process is not a member yet, or a copy of one, and has no part in anything.
  if (!context_.raft || !lost().ok()) return;
  const SteadyTime now = context_.now();
  for (raft::Message& message : messages) {
    // The message is for the member that this node was before it was wiped, or for a stranger.
    if (message.to != context_.self) continue;
    if (!callers_->OnMessage(message.from, sender, now)) continue;
    hearing_.OnHeard(message.from, now);
    results_.OnHeard(message.from);
    freshness_.OnMessage(message);
    if (const auto* report = std::get_if<raft::DigestReport>(&message.body)) {
      digests_.OnReport(message.from, *report);
    } else if (const auto* verdict = std::get_if<raft::DigestVerdict>(&message.body)) {
      digests_.OnVerdict(message.from, *verdict);
    } else if (const auto* results = std::get_if<raft::ResultReport>(&message.body)) {
      results_.OnReport(message.from, *results);
      reads_.OnApplied(readable());
    } else if (const auto* agreed = std::get_if<raft::ResultVerdict>(&message.body)) {
      results_.OnVerdict(message.from, *agreed);
      reads_.OnApplied(readable());
    } else if (LacksAcknowledged(message)) {
      return standing_.OnAcknowledgedLost(message.from);
    } else {
      context_.raft->Step(raft::Received{std::move(message)});
    }
  }
  // In trouble the log has a bound, and what waits in the mailbox may be far more than that.
  if (in_service()) return;
  Flush();
  TellFitness();
}

void ReplicaCore::OnCaller(MemberId member, const std::string& engine_build) {
  directory_.OnCaller();
  hearing_.OnHeard(member, context_.now());
  if (context_.raft) results_.OnCaller(member, engine_build);
}

void ReplicaCore::OnRefused(MemberId by, const Status& why) {
  if (context_.raft) standing_.OnRefused(by, why);
}

void ReplicaCore::OnUnreachable(MemberId member) {
  if (context_.raft) context_.raft->Step(raft::Unreachable{member});
}

void ReplicaCore::OnPeerGone(MemberId member) {
  if (context_.raft) context_.raft->Step(raft::PeerGone{member});
}

void ReplicaCore::OnPersisted(const raft::AppendTicket& ticket) {
  disk_.OnPersisted(ticket.sequence);
  context_.raft->Step(raft::Persisted{ticket});
  install_.MaybeStart(/*log_idle=*/!disk_.persisting());
}

void ReplicaCore::OnFetched(raft::Fetched fetched) {
  disk_.OnFetched(fetched.fetch_id);
  context_.raft->Step(std::move(fetched));
}

void ReplicaCore::OnLogFull(const Status& status) { disk_.OnLogFull(status); }

void ReplicaCore::OnFreeBytes(uint64_t bytes) {
  proposals_.OnFreeBytes(bytes);
  if (disk_.OnFreeBytes(bytes)) fitness_.HandOverSoon();
}

void ReplicaCore::OnApplied(const AppliedReport& report) {
  SetApplied(report);
  context_.raft->Step(raft::Applied{report.index});
  proposals_.OnApplied(report);
  freshness_.OnApplied(applied_.index);
  results_.OnApplied(report);
  NoteAdmission();
  reads_.OnApplied(readable());
  MaybeReturnToService();
}

void ReplicaCore::OnCheckpointed(LogIndex durable) {
  compaction_.OnCheckpointed(durable);
  compaction_.Step(applied_.index, disk_.low());
}

void ReplicaCore::OnDigest(LogIndex index, const state_machine::StateDigest& digest) {
  digests_.OnDigest(index, digest);
}

void ReplicaCore::OnScrubbed(LogIndex index, const Status& found) {
  digests_.OnScrubbed(index, found);
}

void ReplicaCore::OnSnapshotProgress(MemberId to, LogIndex index, uint64_t snapshot_bytes) {
  sends_.OnProgress(to, index, snapshot_bytes);
}

void ReplicaCore::OnSnapshotSent(MemberId to, const Status& status, LogIndex index) {
  sends_.OnSent(to, status, index);
}

// ---- Out

void ReplicaCore::Flush() {
  if (!context_.raft) return;
  proposals_.Step();
  StepReads();
  StepTellCommit();
  while (context_.raft->HasOutput()) {
    Route(context_.raft->TakeOutput());
    proposals_.Step();
    StepReads();
    if (!context_.raft->HasOutput()) StepTellCommit();
  }
  install_.CheckOutput(nullptr);
  StepApply();
}

bool ReplicaCore::awaits_applied() const {
  if (!context_.raft || context_.shutting_down || reads_.awaiting_apply() ||
      context_.raft->holds_back_committed() || results_.comparing()) {
    return true;
  }
  return proposals_.awaits_applied();
}

bool ReplicaCore::awaits_persisted() const {
  // A leader's own disk counts for the majority; a follower's acknowledgement left with the sync,
  // and what is committed meanwhile can be applied once it is durable.
  return !context_.raft || context_.raft->role() != raft::Role::kFollower ||
         context_.shutting_down || install_.installing() || context_.raft->holds_back_committed();
}

SteadyTime ReplicaCore::NextFlush() const {
  return std::min({proposals_.next_step(), tell_commit_at_.value_or(SteadyTime::max()),
                   wake_apply_at_.value_or(SteadyTime::max())});
}

void ReplicaCore::StepReads() {
  // The Raft core would keep the barrier of each round until a leader is known, even after all
  // reads of the round have been given up. Without a leader that would be without end.
  if (context_.raft->leader().is_none()) return;
  const size_t reads = reads_.gathering();
  if (!reads_.BeginRound(context_.next_id)) return;
  context_.options.counts->read_rounds.Add();
  context_.options.counts->reads_proved.Add(reads);
  context_.raft->Step(raft::ReadBarrier{context_.next_id++});
}

void ReplicaCore::StepTellCommit() {
  if (!context_.raft->commit_untold()) {
    tell_commit_at_.reset();
    return;
  }
  const SteadyTime now = context_.now();
  if (!tell_commit_at_) tell_commit_at_ = now + kTellCommitAfter;
  if (now >= *tell_commit_at_) context_.raft->Step(raft::TellCommit{});
}

void ReplicaCore::Route(raft::Output output) {
  context_.effects->OnCoreOutput(*context_.raft, output);
  install_.CheckOutput(&output);
  for (const raft::Accepted& accepted : output.accepted) proposals_.OnAccepted(accepted);
  // The apply thread comes first: clients wait for it, and it works on its own from here. Then come
  // the other nodes and the disk.
  if (output.committed) RouteCommitted(*std::move(output.committed));
  freshness_.Stamp(&output.send_now);
  if (!output.send_now.empty() && lost().ok()) context_.effects->Send(std::move(output.send_now));
  if (!output.persists.empty()) RoutePersists(std::move(output.persists));
  for (const raft::Fetch& fetch : output.fetches) {
    disk_.OnFetchBegun(fetch.fetch_id);
    context_.effects->FetchLog(fetch);
  }
  for (const raft::Dropped& dropped : output.dropped) RouteDropped(dropped);
  for (const raft::ReadGrant& grant : output.reads) {
    reads_.OnGranted(grant.id, grant.index, readable());
  }
  for (const raft::SendSnapshot& send : output.send_snapshots) {
    sends_.Start(send.peer, send.index_min);
  }
  if (output.install_snapshot) install_.OnWanted(output.install_snapshot->meta);
  if (output.soft_state_changed) OnSoftStateChanged();
}

void ReplicaCore::RoutePersists(std::vector<raft::Persist> persists) {
  std::vector<raft::Persist> ready;
  for (raft::Persist& persist : persists) {
    proposals_.OnPersist(persist);
    compaction_.OnPersist(persist);
    NoteLogged(persist.entries);
    if (!lost().ok()) persist.send_after.clear();
    if (install_.Hold(&persist)) continue;
    disk_.OnPersistBegun(persist.ticket.sequence);
    ready.push_back(std::move(persist));
  }
  if (!ready.empty()) context_.effects->PersistLog(std::move(ready));
  install_.MaybeStart(/*log_idle=*/!disk_.persisting());
}

void ReplicaCore::RouteCommitted(raft::CommittedBatch batch) {
  ApplyJob job;
  job.waiters = proposals_.TakeCommitted(batch.entries);
  AdoptConfig(batch.config, batch.config_index);
  job.batch = std::move(batch);
  if (!recovery_.down()) return Apply(std::move(job));
  for (const EntryWaiters& waiters : job.waiters) {
    for (const PendingCommandPtr& c : waiters.commands) {
      c->Finish(Unavailable("this node has stopped applying").With(Outcome::kUnknown));
    }
  }
}

void ReplicaCore::AdoptConfig(const raft::Configuration& config, LogIndex index) {
  if (!directory_.Adopt(config, index)) return;
  callers_->OnConfig(config);
  removal_.Check(config, index);
  standing_.Check(config);
  NoteAdmission();
  results_.OnConfig();
}

bool ReplicaCore::apply_is_urgent() const { return is_leader() || awaits_applied(); }

void ReplicaCore::Apply(ApplyJob job) {
  const bool urgent = apply_is_urgent() || !job.waiters.empty();
  job.hold_results = results_.hold();
  context_.effects->Apply(std::move(job), urgent);
  if (urgent) {
    wake_apply_at_.reset();
  } else if (!wake_apply_at_) {
    wake_apply_at_ = context_.now() + kApplyTogether;
  }
}

void ReplicaCore::StepApply() {
  if (!wake_apply_at_) return;
  if (context_.now() < *wake_apply_at_ && !apply_is_urgent()) return;
  wake_apply_at_.reset();
  context_.effects->WakeApply();
}

void ReplicaCore::RouteDropped(const raft::Dropped& dropped) {
  if (changes_.OnDropped(dropped) || proposals_.OnDropped(dropped)) return;
  // Only rounds of reads are left.
  if (dropped.reason == raft::DropReason::kLeadershipLost) {
    reads_.OnRefused(dropped.id);
  } else {
    reads_.FailRound(dropped.id, ResourceExhausted("too many reads are waiting on this node"));
  }
}

void ReplicaCore::OnSoftStateChanged() {
  LogSoftState();
  ++context_.version;
  const raft::Role role = context_.raft->role();
  const MemberId leader = context_.raft->leader();
  CountSoftState(role, leader);
  if (role == raft::Role::kLeader && last_role_ != role) digests_.OnLeading();
  if (!leader.is_none()) recovery_.OnLeader(leader);
  last_term_ = context_.raft->term();
  last_role_ = role;
  last_leader_ = leader;
  if (!leader.is_none()) last_known_leader_ = leader;
  if (role != raft::Role::kLeader) {
    proposals_.OnFollowing();
    changes_.OnFollowing();
    level_raise_.OnFollowing();
  }
  results_.OnLeaderChanged();
  install_.OnLeaderKnown();
  leader_requests_.OnLeaderChanged();
}

void ReplicaCore::CountSoftState(raft::Role role, MemberId leader) const {
  ReplicaCounts& counts = *context_.options.counts;
  const bool new_term = context_.raft->term() != last_term_;
  if (role == raft::Role::kCandidate && (role != last_role_ || new_term)) counts.elections.Add();
  if (role == raft::Role::kLeader && (role != last_role_ || new_term)) counts.terms_led.Add();
  if (!leader.is_none() && leader != last_known_leader_) counts.leader_changes.Add();
}

void ReplicaCore::LogSoftState() {
  static constexpr const char* kRoleNames[] = {"follower", "pre-candidate", "candidate", "leader"};
  const raft::Role role = context_.raft->role();
  const Term term = context_.raft->term();
  const MemberId leader = context_.raft->leader();
  if (term == last_term_ && role == last_role_ && leader == last_leader_) return;
  // A node without a leader asks for pre-votes all the time, so this is logged once.
  const bool asks_again = role == raft::Role::kPreCandidate || role == raft::Role::kFollower;
  const bool told = asks_again && leader.is_none() && term == last_term_ &&
                    last_leader_.is_none() && told_leaderless_;
  if (told) return;
  told_leaderless_ = role == raft::Role::kPreCandidate;
  LOG_INFO("{} node={} term={} leader={}", kRoleNames[static_cast<int>(role)],
           context_.options.node_id, term.value(), leader.value());
}

}  // namespace cairn::node
