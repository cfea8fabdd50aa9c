// Proposals and reads: from a client's wish to the core and back.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "base/planted.h"
#include "node/replica_core.h"

namespace cairn::node {
namespace {

constexpr size_t kLeaderWaitersMax = 65536;
// A due deadline is proposed again if it has not gone by then.
// How long the news of a commit waits for an append to travel with. Reads on followers do not wait
// for it; they bring it home with their read index.
constexpr SteadyTime kTellCommitAfter = std::chrono::milliseconds(2);
constexpr SteadyTime kExpiryRetry = std::chrono::seconds(1);

std::string MiB(uint64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

}  // namespace

// ---- Proposals

Status ReplicaCore::NotLeader() const {
  Status status = Unavailable("this node is not the leader").With(Outcome::kNotApplied);
  if (const auto hint = leader_hint()) return std::move(status).With(*hint);
  return status;
}

std::optional<Status> ReplicaCore::Refusal() const {
  if (shutting_down_) {
    return Unavailable("the node is shutting down").With(Outcome::kNotApplied);
  }
  // Before the trouble that it makes: UNAVAILABLE is tried again until the time is over, and
  // whoever asked would never learn what is wrong.
  if (auto full = DiskFull()) return std::move(*full).With(Outcome::kNotApplied);
  if (!apply_trouble_.ok()) {
    return Unavailable(TroubleInWords()).With(Outcome::kNotApplied);
  }
  if (!removed_.ok()) return Status(removed_).With(Outcome::kNotApplied);
  return std::nullopt;
}

std::optional<Status> ReplicaCore::DiskFull() const {
  if (!log_full_.ok()) return ResourceExhausted("the log's disk is full: " + log_full_.message());
  if (apply_trouble_.code() == StatusCode::kResourceExhausted) {
    return ResourceExhausted(TroubleInWords());
  }
  if (!free_bytes_low_) return std::nullopt;
  return ResourceExhausted("the disk has " + MiB(*free_bytes_low_) + " free; writes need " +
                           MiB(options_.free_bytes_min));
}

Status ReplicaCore::NoLeader() const {
  if (auto full = DiskFull()) return std::move(*full).Prefixed("no leader is known");
  return Unavailable("no leader is known");
}

void ReplicaCore::Propose(PendingCommandPtr command) {
  if (auto refusal = Refusal()) return command->Finish(*std::move(refusal));
  if (!is_leader()) return command->Finish(NotLeader());
  if (batcher_.bytes() + command->bytes() > options_.proposal_queue_bytes_max) {
    return command->Finish(
        ResourceExhausted("too many writes are waiting on this node").With(Outcome::kNotApplied));
  }
  batcher_.Add(std::move(command));
}

std::optional<uint64_t> ReplicaCore::LeaseNow(SteadyTime now) const {
  if (!lease_ || !is_leader() || lease_->term != raft_->term()) return std::nullopt;
  if (CAIRN_PLANTED("lease_by_the_wall_clock")) {
    return static_cast<uint64_t>(clock_->WallNowMs());
  }
  const auto elapsed = std::chrono::duration_cast<std::chrono::milliseconds>(now - lease_->since);
  return lease_->base_ms + static_cast<uint64_t>(elapsed.count());
}

void ReplicaCore::StepProposals() {
  ForgetCommitted(clock_->SteadyNow());
  if (batcher_.empty()) return;
  if (!is_leader()) {
    for (PendingCommandPtr& c : batcher_.TakeAll()) c->Finish(NotLeader());
    return;
  }
  // The lease clock is known once an entry of our own term has been applied; until then commands
  // wait (a new leader: for one round trip).
  const SteadyTime now = clock_->SteadyNow();
  if (!LeaseNow(now)) return;
  // What has just been committed makes room before the core's output is taken: the next entry then
  // carries the news of the commit.
  while (batcher_.Ready(uncommitted_.size() + proposing_.size(), now)) {
    ProposeBatch(batcher_.TakeBatch());
  }
}

void ReplicaCore::ForgetCommitted(SteadyTime now) {
  const auto end = uncommitted_.upper_bound(raft_->commit());
  for (auto it = uncommitted_.begin(); it != end; ++it) {
    batcher_.OnCommitted(it->second.commands, now - it->second.proposed, now);
  }
  uncommitted_.erase(uncommitted_.begin(), end);
}

void ReplicaCore::StepTellCommit() {
  if (!raft_->commit_untold()) {
    tell_commit_at_.reset();
    return;
  }
  const SteadyTime now = clock_->SteadyNow();
  if (!tell_commit_at_) tell_commit_at_ = now + kTellCommitAfter;
  if (now >= *tell_commit_at_) raft_->Step(raft::TellCommit{});
}

void ReplicaCore::ProposeBatch(std::vector<PendingCommandPtr> batch) {
  state_machine::BatchHeader header;
  header.wall_ms = clock_->WallNowMs();
  header.random_seed = rng_->Next();
  header.lease_ms = *LeaseNow(clock_->SteadyNow());
  header.vdbe_ops_max = options_.vdbe_ops_max;
  std::vector<std::string> encoded;
  encoded.reserve(batch.size());
  for (PendingCommandPtr& command : batch) encoded.push_back(command->TakeEncoded());
  std::string payload;
  state_machine::EncodeBatch(header, encoded, &payload);
  const uint64_t id = next_id_++;
  proposing_[id] = std::move(batch);
  raft::Propose propose;
  propose.proposals.push_back({id, std::make_shared<const std::string>(std::move(payload))});
  raft_->Step(std::move(propose));
}

// Prepared transactions whose deadline has come do not expire by themselves: the lease clock moves
// only by entries.
void ReplicaCore::ProposeExpiry() {
  const SteadyTime now = clock_->SteadyNow();
  const std::optional<uint64_t> lease = LeaseNow(now);
  if (!lease || !applied_.next_deadline_lease_ms || *applied_.next_deadline_lease_ms > *lease)
    return;
  if (expiry_proposed_ && now - *expiry_proposed_ < kExpiryRetry) return;
  if (Refusal()) return;
  expiry_proposed_ = now;
  state_machine::Command command;
  command.operation = state_machine::AdvanceLease{};
  batcher_.Add(std::make_shared<PendingCommand>(state_machine::EncodeCommand(command),
                                                now + std::chrono::seconds(10), nullptr));
}

// ---- Reads

void ReplicaCore::ReadBarrier(const ReadOptions& options, SteadyTime deadline, ReadDone done) {
  if (shutting_down_) return done(Unavailable("the node is shutting down"));
  if (!apply_trouble_.ok()) {
    return done(Unavailable(TroubleInWords()));
  }
  if (!removed_.ok()) return done(removed_);
  const SteadyTime now = clock_->SteadyNow();
  if (options.level == ReadLevel::kStale && options.staleness_max) {
    const std::optional<SteadyTime> contact = LastContact(now);
    if (!contact || now - *contact > *options.staleness_max) {
      return done(FailedPrecondition("this node has not heard from a leader for longer than " +
                                     std::to_string(options.staleness_max->count()) + " ms"));
    }
  }
  PendingRead read{options.index_min, deadline, std::move(done)};
  if (options.level == ReadLevel::kStale) {
    reads_.AddLocal(std::move(read), applied_.index);
  } else {
    reads_.AddLinearizable(std::move(read));
  }
}

void ReplicaCore::StepReads() {
  // The core would keep the barrier of each round until a leader is known, also after all its reads
  // have been given up: without end while there is none.
  if (raft_->leader().is_none()) return;
  if (reads_.BeginRound(next_id_)) raft_->Step(raft::ReadBarrier{next_id_++});
}

// When this node last knew of a leader that knew of a majority. A leader: when it last heard from
// one itself.
std::optional<SteadyTime> ReplicaCore::LastContact(SteadyTime now) const {
  if (!raft_ || raft_->leader().is_none()) return std::nullopt;
  if (!is_leader()) {
    const auto it = last_heard_.find(raft_->leader());
    if (it == last_heard_.end()) return std::nullopt;
    return it->second;
  }
  std::vector<SteadyTime> heard;
  for (const MemberId voter : config_.voters) {
    const auto it = last_heard_.find(voter);
    if (voter == boot_.record().member) {
      heard.push_back(now);
    } else if (it != last_heard_.end()) {
      heard.push_back(it->second);
    }
  }
  const size_t majority = config_.voters.size() / 2 + 1;
  if (heard.size() < majority) return std::nullopt;
  std::sort(heard.rbegin(), heard.rend());
  return heard[majority - 1];
}

// ---- Leadership

void ReplicaCore::AwaitLeader(SteadyTime deadline, std::function<void(Result<LeaderHint>)> done) {
  if (const auto hint = leader_hint()) return done(*hint);
  if (shutting_down_) return done(Unavailable("the node is shutting down"));
  if (leader_waiters_.size() >= kLeaderWaitersMax) {
    return done(ResourceExhausted("too many requests are waiting for a leader"));
  }
  leader_waiters_.push_back({deadline, std::move(done)});
}

void ReplicaCore::TransferLeadership(uint64_t node_id, SteadyTime deadline,
                                     std::function<void(Status)> done) {
  if (!is_leader()) return done(NotLeader());
  if (transfer_) return done(FailedPrecondition("another hand-over is under way"));
  MemberId target;
  if (node_id != 0) {
    target = FindMember(config_, node_id);
    if (target == boot_.record().member) return done(OkStatus());
    if (!config_.voters.contains(target)) {
      return done(FailedPrecondition("node " + std::to_string(node_id) + " is not a voter"));
    }
  } else if (config_.voters.size() <= 1) {
    return done(FailedPrecondition("there is no other voter"));
  }
  transfer_ = Transfer{target, deadline, std::move(done)};
  raft_->Step(raft::TransferLeader{target});
}

}  // namespace cairn::node
