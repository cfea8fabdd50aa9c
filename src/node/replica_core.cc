#include "node/replica_core.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "base/planted.h"

namespace cairn::node {
namespace {

FirstBootOptions BootOptions(const ReplicaOptions& options) {
  FirstBootOptions boot;
  boot.address = options.address;
  boot.listed_peers = options.listed_peers;
  boot.engine = options.engine;
  return boot;
}

constexpr size_t kPendingReadsMax = 65536;
// Election timeouts between two attempts of an unfit leader to hand over. Long, or leadership would
// go round and round among nodes whose disks are all full.
constexpr uint64_t kHandoverElections = 100;
// Of one that does not apply the log: it serves nothing, so nothing is lost by trying again soon,
// and the first attempt comes when the others may not have caught up yet.
constexpr uint64_t kTroubledHandoverElections = 4;
// How long a member that was removed is still talked to, so that it learns of its removal.
constexpr uint64_t kLingerElections = 30;
// Members that only later configurations name, and that are answered where they say they live.
constexpr size_t kCallersMax = 16;

}  // namespace

ReplicaCore::ReplicaCore(const ReplicaOptions& options, StartState start, Clock* clock, Rng* rng,
                         ReplicaEffects* effects)
    : options_(options),
      clock_(clock),
      rng_(rng),
      effects_(effects),
      boot_(BootOptions(options), std::move(start.identity), rng),
      initial_(std::move(start.raft)),
      config_(initial_.config),
      config_index_(initial_.config_index),
      extent_(options.log_bytes_max),
      durable_state_(start.durable_state),
      batcher_({options.batch_bytes_max, options.batch_commands_max}),
      reads_(kPendingReadsMax) {
  extent_.Init(initial_.log, start.log_bytes);
  applied_.index = start.applied.index;
  applied_.term = start.applied.term;
  applied_.lease_ms = start.applied.lease_ms;
  next_digest_ = clock_->SteadyNow() + options_.digest_every;
  if (start.fenced.empty()) return;
  if (config_.info.size() < 2) {
    digest_status_.doubt = start.fenced + "; there is no other node to get a copy of the data from";
    LOG_ERROR("{}", digest_status_.doubt);
    return;
  }
  fence_ = apply_trouble_ = DataLoss(start.fenced);
}

ReplicaCore::~ReplicaCore() {
  for (PendingCommandPtr& c : batcher_.TakeAll()) {
    c->Finish(Unavailable("the node is shutting down").With(Outcome::kNotApplied));
  }
  const Status stopped = Unavailable("the node is shutting down");
  for (auto& [id, commands] : proposing_) {
    for (PendingCommandPtr& c : commands) c->Finish(Status(stopped).With(Outcome::kUnknown));
  }
  tracker_.FailAll(Status(stopped).With(Outcome::kUnknown));
  reads_.FailAll(stopped);
  for (LeaderWaiter& waiter : leader_waiters_) waiter.done(stopped);
  if (job_) job_->Fail(stopped);
  if (transfer_) transfer_->done(stopped);
  if (shutdown_done_) shutdown_done_();
}

// ---- Life

void ReplicaCore::Start() {
  effects_->SetIdentity(identity());
  if (boot_.started()) {
    StartRaft();
  } else {
    RunFirstBoot();
  }
}

transport::Identity ReplicaCore::identity() const {
  const IdentityRecord& record = boot_.record();
  transport::Identity identity;
  identity.cluster_id = record.cluster_id;
  identity.node_id = options_.node_id;
  identity.nonce = record.nonce;
  identity.member = record.member;
  identity.address = options_.address;
  identity.engine = options_.engine;
  return identity;
}

void ReplicaCore::RunFirstBoot() {
  FirstBoot::Requests requests = boot_.TakeRequests();
  if (requests.persist) effects_->SaveIdentity(*requests.persist);
  for (const FirstBoot::ProbeTarget& target : requests.probes) {
    effects_->Probe(target.address,
                    [this, id = target.node_id](Result<transport::ProbeReply> reply) {
                      boot_.OnProbed(id, std::move(reply));
                      if (!raft_) RunFirstBoot();
                    });
  }
  if (requests.join) {
    LOG_INFO("asking the cluster to let this node in leader={}", *requests.join);
    transport::JoinRequest join{options_.node_id, boot_.record().nonce, options_.address,
                                options_.engine};
    effects_->Join(*requests.join, join, [this](Result<transport::JoinReply> reply) {
      if (!reply.ok()) LOG_INFO("not let in yet: {}", reply.status().message());
      boot_.OnJoined(std::move(reply));
      if (!raft_) RunFirstBoot();
    });
  }
}

void ReplicaCore::OnIdentitySaved() {
  boot_.OnPersisted();
  ++version_;
  const IdentityRecord& record = boot_.record();
  LOG_INFO("{} cluster={:016x} node={} member={}",
           boot_.started() ? "takes part in the cluster" : "founding the cluster",
           record.cluster_id, options_.node_id, record.member.value());
  effects_->SetIdentity(identity());
  if (boot_.started()) {
    StartRaft();
  } else {
    RunFirstBoot();
  }
}

void ReplicaCore::StartRaft() {
  const IdentityRecord& record = boot_.record();
  if (initial_.config.info.empty()) initial_.config = record.config;
  config_ = initial_.config;
  raft::Options options;
  options.self = record.member;
  options.election_ticks = options_.election_ticks;
  options.heartbeat_ticks = options_.heartbeat_ticks;
  options.append_entries_max = options_.append_entries_max;
  raft_ = std::make_unique<raft::RaftCore>(options, std::move(initial_), rng_);
  initial_ = raft::InitialState{};
  last_term_ = raft_->term();
  effects_->OnCoreStarted(*raft_);
  for (const auto& [id, address] : options_.listed_peers) {
    const MemberId member = FindMember(config_, id);
    if (member.is_none() || config_.info.at(member).address != address) {
      LOG_WARN(
          "--peers differs from the stored membership, which counts node={} listed={} stored={}",
          id, address, member.is_none() ? "none" : config_.info.at(member).address);
    }
  }
  ++version_;
  CheckRemoved(config_, config_index_);
  PublishPeers();
  if (fence_.ok()) return;
  LOG_ERROR("this node was fenced before it was started: {}", fence_.message());
  back_in_service_at_ = raft_->commit();
  effects_->Fence(fence_);
}

void ReplicaCore::PublishPeers() {
  std::map<MemberId, std::string> peers;
  if (!config_.Contains(boot_.record().member)) {
    // Let in, but not yet caught up to its own admission: the configuration in force here may be
    // older than the leader. What the leader told on admission is newer.
    for (const auto& [id, info] : boot_.record().config.info) peers[id] = info.address;
  }
  for (const auto& [id, address] : callers_) peers[id] = address;
  for (const auto& [id, leaving] : leaving_) peers[id] = leaving.address;
  for (const auto& [id, info] : config_.info) peers[id] = info.address;
  peers.erase(boot_.record().member);
  effects_->SetPeers(peers);
}

// A configuration that is committed. It may be from before the one in force: after trouble entries
// are handed out once more.
void ReplicaCore::AdoptConfig(const raft::Configuration& config, LogIndex index) {
  if (config.info.empty() || index < config_index_) return;
  if (index == config_index_ && config == config_) return;
  LOG_INFO("configuration in force index={} voters={} learners={} joint={}", index.value(),
           config.voters.size(), config.learners.size(), config.joint());
  for (const auto& [id, info] : config_.info) {
    if (config.Contains(id)) continue;
    leaving_[id] = {info.address, ticks_ + kLingerElections * options_.election_ticks};
  }
  config_ = config;
  config_index_ = index;
  std::erase_if(callers_,
                [&](const auto& caller) { return caller.first.value() < config.next_member_id; });
  ++version_;
  CheckRemoved(config, index);
  PublishPeers();
}

// A node that was away while others were let in must answer them all the same, though no
// configuration it knows names them. The bad schedule without it: 4 is let in while 3 is down, and
// leads when 3 comes back. It probes where the log of 3 ends; 3 refuses, as it should, and has no
// address to send that to. So 3 never catches up, and its vote is lost to everybody as well.
void ReplicaCore::OnCaller(MemberId member, const std::string& address) {
  if (member.value() < config_.next_member_id) return;  // known, or removed
  callers_[member] = address;
  if (callers_.size() > kCallersMax) callers_.erase(callers_.begin());
  if (raft_) PublishPeers();
}

void ReplicaCore::ForgetLeaving() {
  const size_t gone = std::erase_if(
      leaving_, [this](const auto& member) { return member.second.until_tick <= ticks_; });
  if (gone > 0) PublishPeers();
}

void ReplicaCore::OnTick(uint64_t ticks) {
  const SteadyTime now = clock_->SteadyNow();
  ticks_ += ticks;
  if (!raft_) {
    boot_.OnTick(ticks);
    RunFirstBoot();
  } else {
    for (uint64_t i = 0; i < ticks; ++i) raft_->Step(raft::Tick{});
    WatchDisk(now);
    TellFitness();
    ReportFailedSends(now);
    StepMembership();
    AskWhetherRemoved();
    ProposeExpiry();
    StepDigests();
    ForgetLeaving();
    MaybeCompact();
  }
  ExpireRequests(now);
  StepShutdown(now);
}

void ReplicaCore::WatchDisk(SteadyTime now) {
  // Reads of the log too: a new leader that waits for the entries its lease clock stands on
  // proposes nothing, so writes alone would never show that its disk hangs.
  SteadyTime since = now;
  if (!in_flight_persists_.empty()) since = in_flight_persists_.front().submitted;
  if (!in_flight_fetches_.empty()) since = std::min(since, in_flight_fetches_.begin()->second);
  const bool stalled =
      !CAIRN_PLANTED("hung_disk_keeps_leader") && now - since > options_.disk_stall_max;
  if (stalled != disk_stalled_) {
    disk_stalled_ = stalled;
    if (stalled) {
      LOG_WARN("the disk does not answer: no leadership while it lasts longer_than_ms={}",
               options_.disk_stall_max.count());
    } else {
      LOG_INFO("the disk answers again");
    }
  }
  // A leader whose disk hangs would keep its followers content with heartbeats for ever, and
  // nothing would be written. Repeated, so that it does not campaign while the stall lasts.
  if (stalled || !log_full_.ok()) {
    raft_->Step(raft::StepDown{4 * options_.election_ticks});
  }
  // Asked, not forced: when all disks are full, or the others lack what only this log holds, a
  // leader that can do little is better than none.
  const bool unfit = free_bytes_low_ || !apply_trouble_.ok();
  if (unfit && is_leader() && ticks_ >= next_handover_tick_) {
    const uint64_t pause =
        !apply_trouble_.ok() && AnotherCanLead() ? kTroubledHandoverElections : kHandoverElections;
    next_handover_tick_ = ticks_ + pause * options_.election_ticks;
    raft_->Step(raft::TransferLeader{});
  }
}

void ReplicaCore::ExpireRequests(SteadyTime now) {
  for (PendingCommandPtr& c : batcher_.TakeExpired(now)) {
    c->Finish(DeadlineExceeded("no leader took the write in time").With(Outcome::kNotApplied));
  }
  tracker_.Expire(now);
  const std::optional<LeaderHint> hint = leader_hint();
  Status no_index = hint ? DeadlineExceeded("no majority confirmed the leader in time")
                         : Unavailable("no leader is known");
  reads_.Expire(now, no_index,
                DeadlineExceeded("this node has not applied the log far enough in time"));
  std::erase_if(leader_waiters_, [&](LeaderWaiter& waiter) {
    if (waiter.deadline > now) return false;
    waiter.done(NoLeader());
    return true;
  });
  if (transfer_ && transfer_->deadline <= now) {
    auto transfer = *std::exchange(transfer_, std::nullopt);
    transfer.done(DeadlineExceeded("leadership has not moved in time"));
  }
}

void ReplicaCore::BeginShutdown(SteadyTime deadline, std::function<void()> done) {
  shutting_down_ = true;
  shutdown_deadline_ = deadline;
  shutdown_leaderless_tick_ = ticks_;
  shutdown_done_ = std::move(done);
  for (PendingCommandPtr& c : batcher_.TakeAll()) {
    c->Finish(Unavailable("the node is shutting down").With(Outcome::kNotApplied));
  }
  StepShutdown(clock_->SteadyNow());
}

void ReplicaCore::StepShutdown(SteadyTime now) {
  if (!shutdown_done_) return;
  // A sole voter has nobody to hand over to; it only finishes what it has begun.
  const bool alone = config_.voters.size() <= 1;
  const bool settled = proposing_.empty() && tracker_.entries() == 0;
  const bool handing_over = is_leader() && !alone;
  // The others have gone, too: nobody can confirm what is undecided, nor take over.
  const bool no_leader = raft_ && raft_->leader().is_none();
  if (!no_leader) shutdown_leaderless_tick_ = ticks_;
  const bool hopeless = ticks_ >= shutdown_leaderless_tick_ + 2 * options_.election_ticks;
  if (hopeless && !settled) LOG_INFO("no leader is left to decide the last writes");
  if (hopeless) return std::exchange(shutdown_done_, nullptr)();
  if (now < shutdown_deadline_ && (handing_over || !settled)) {
    // Again after each attempt that failed: the voter that was chosen may have died just before.
    if (handing_over && raft_->status().transfer_target.is_none()) {
      raft_->Step(raft::TransferLeader{});
    }
    return;
  }
  std::exchange(shutdown_done_, nullptr)();
}

// ---- What others may know

std::optional<LeaderHint> ReplicaCore::leader_hint() const {
  if (!raft_ || raft_->leader().is_none()) return std::nullopt;
  const auto it = config_.info.find(raft_->leader());
  if (it != config_.info.end()) return LeaderHint{it->second.node_id, it->second.address};
  const auto& admitted_by = boot_.record().config.info;
  const auto told = admitted_by.find(raft_->leader());
  if (told == admitted_by.end()) return std::nullopt;
  return LeaderHint{told->second.node_id, told->second.address};
}

transport::ProbeReply ReplicaCore::probe_reply() const {
  transport::ProbeReply reply;
  reply.identity = identity();
  reply.stage = boot_.record().stage;
  reply.listed_peers = options_.listed_peers;
  if (raft_) {
    reply.config = config_;
    reply.config_index = config_index_;
  }
  if (const auto hint = leader_hint()) {
    reply.leader_node_id = hint->node_id;
    reply.leader_address = hint->address;
  }
  return reply;
}

ReplicaStatus ReplicaCore::status() const {
  ReplicaStatus status;
  if (raft_) status.core = raft_->status();
  status.cluster_id = boot_.record().cluster_id;
  status.stage = boot_.record().stage;
  status.waiting_for = boot_.waiting_for();
  status.durable_state = durable_state_;
  status.log_bytes = extent_.bytes();
  status.lease_ms = LeaseNow(clock_->SteadyNow()).value_or(applied_.lease_ms);
  status.apply_stopped = !apply_trouble_.ok();
  status.fenced = !fence_.ok();
  status.digests = digest_status_;
  status.digests.differences = digest_watch_.differences();
  if (is_leader() && !digest_watch_.doubt().empty()) status.digests.doubt = digest_watch_.doubt();
  if (!apply_trouble_.ok()) {
    status.trouble = Status(apply_trouble_.code(), TroubleInWords());
  } else if (!removed_.ok()) {
    status.trouble = removed_;
  } else if (auto refusal = Refusal()) {
    status.trouble = *refusal;
  }
  return status;
}

}  // namespace cairn::node
