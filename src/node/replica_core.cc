#include "node/replica_core.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "raft/configuration_codec.h"

namespace cairn::node {
namespace {

FirstBootOptions BootOptions(const ReplicaOptions& options) {
  FirstBootOptions boot;
  boot.address = options.address;
  boot.listed_peers = options.listed_peers;
  boot.engine = options.engine;
  boot.joins_only = options.joins_only;
  boot.cluster_id = options.cluster_id;
  return boot;
}

constexpr size_t kPendingReadsMax = 65536;

Status TooOld(std::optional<SteadyTime> age, std::chrono::milliseconds age_max) {
  const auto ms = [](SteadyTime time) {
    return std::to_string(std::chrono::ceil<std::chrono::milliseconds>(time).count()) + " ms";
  };
  if (!age) {
    return FailedPrecondition(
        "this node has not heard from a leader, so it does not know the age of what it holds; the "
        "read allows " +
        ms(age_max));
  }
  return FailedPrecondition("what this node holds may be " + ms(*age) + " old; the read allows " +
                            ms(age_max));
}

}  // namespace

ReplicaCore::ReplicaCore(const ReplicaOptions& options, StartState start, Clock* clock, Rng* rng,
                         ReplicaEffects* effects)
    : context_{options, clock, rng, effects},
      boot_(BootOptions(options), std::move(start.identity), rng),
      initial_(std::move(start.raft)),
      callers_(std::make_shared<Callers>(2 * options.election_ticks * SteadyTime(options.tick))),
      freshness_(&context_, rng->Next() | 1),
      removal_(&context_, [this](const Status& removed) { reads_.FailAll(removed); }),
      standing_(&context_, std::move(start.start),
                [this](const Status& lost) {
                  reads_.FailAll(lost);
                  directory_.OnSilent();
                }),
      reads_(kPendingReadsMax) {
  context_.config = initial_.config;
  context_.config_index = initial_.config_index;
  compaction_.Init(initial_.log, start.log_bytes, start.durable_state);
  applied_.index = start.applied.index;
  applied_.term = start.applied.term;
  applied_.lease_ms = start.applied.lease_ms;
  freshness_.OnStateReplaced(applied_.index);
  applied_.level = context_.level = start.applied.level;
  applied_.results_hash = start.applied.results_hash;
  applied_.restored_at = start.applied.restored_at;
  if (!start.fenced.empty() && digests_.StartFenced(start.fenced)) {
    recovery_.StartInTrouble(digests_.fence());
  }
}

ReplicaCore::~ReplicaCore() {
  const Status stopped = Unavailable("the node is shutting down");
  proposals_.Stop();
  reads_.FailAll(stopped);
  changes_.Stop(stopped);
  level_raise_.Stop(stopped);
  leader_requests_.Stop(stopped);
  shutdown_.Stop();
}

// ---- Life

void ReplicaCore::Start() {
  if (boot_.started()) {
    // Tells callers, before anyone is let in (which is with the identity), what the log says of the
    // members' starts, committed or not.
    if (initial_.config.info.empty()) initial_.config = boot_.record().config;
    callers_->OnConfig(initial_.config);
    NoteLogged(initial_.log);
  }
  context_.effects->SetIdentity(identity());
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
  identity.node_id = context_.options.node_id;
  identity.nonce = record.nonce;
  identity.member = record.member;
  identity.address = context_.options.address;
  identity.engine = context_.options.engine;
  identity.start = standing_.start();
  identity.level_max = context_.options.level_max;
  return identity;
}

void ReplicaCore::RunFirstBoot() {
  const ReplicaOptions& options = context_.options;
  FirstBoot::Requests requests = boot_.TakeRequests();
  if (requests.persist) context_.effects->SaveIdentity(*requests.persist);
  for (const FirstBoot::ProbeTarget& target : requests.probes) {
    context_.effects->Probe(target.address,
                            [this, id = target.node_id](Result<transport::ProbeReply> reply) {
                              boot_.OnProbed(id, std::move(reply));
                              if (!context_.raft) RunFirstBoot();
                            });
  }
  if (requests.join) {
    LOG_INFO("asking the cluster to let this node in leader={}", *requests.join);
    transport::JoinRequest join{options.node_id, boot_.record().nonce, options.address,
                                options.engine, options.level_max};
    context_.effects->Join(*requests.join, join, [this](Result<transport::JoinReply> reply) {
      if (!reply.ok()) LOG_INFO("not let in yet: {}", reply.status().message());
      boot_.OnJoined(std::move(reply));
      if (!context_.raft) RunFirstBoot();
    });
  }
}

void ReplicaCore::OnIdentitySaved() {
  boot_.OnPersisted();
  ++context_.version;
  const IdentityRecord& record = boot_.record();
  LOG_INFO("{} cluster={:016x} node={} member={}",
           boot_.started() ? "takes part in the cluster" : "founding the cluster",
           record.cluster_id, context_.options.node_id, record.member.value());
  Start();
}

void ReplicaCore::StartRaft() {
  const IdentityRecord& record = boot_.record();
  context_.config = initial_.config;
  context_.self = record.member;
  context_.cluster_id = record.cluster_id;
  raft::Options options;
  options.self = record.member;
  options.election_ticks = context_.options.election_ticks;
  options.heartbeat_ticks = context_.options.heartbeat_ticks;
  options.append_entries_max = context_.options.append_entries_max;
  context_.raft = std::make_unique<raft::RaftCore>(options, std::move(initial_), context_.rng);
  initial_ = raft::InitialState{};
  last_term_ = context_.raft->term();
  context_.effects->OnCoreStarted(*context_.raft);
  for (const auto& [id, address] : context_.options.listed_peers) {
    const raft::Configuration& config = context_.config;
    const MemberId member = FindMember(config, id);
    if (member.is_none()) {
      LOG_WARN("--peers lists a node that is no member: the stored membership counts node={}", id);
    } else if (config.info.at(member).address != address) {
      LOG_INFO(
          "--peers lists another address than the stored one: both are tried node={} "
          "listed={} stored={}",
          id, address, config.info.at(member).address);
    }
  }
  ++context_.version;
  // A founder's empty database is what the cluster began with. A node that was let in begins as a
  // learner.
  admitted_ = record.config.IsVoter(record.member);
  NoteAdmission();
  removal_.Check(context_.config, context_.config_index);
  standing_.Check(context_.config);
  directory_.Start(record.config);
  results_.Start({applied_.index, applied_.results_hash});
  if (digests_.fence().ok()) return;
  LOG_ERROR("this node was fenced before it was started: {}", digests_.fence().message());
  recovery_.ReturnNotBefore(context_.raft->commit());
  context_.effects->Fence(digests_.fence());
}

void ReplicaCore::OnTick(uint64_t ticks) {
  context_.ticks += ticks;
  if (!context_.raft) {
    boot_.OnTick(ticks);
    RunFirstBoot();
  } else {
    for (uint64_t i = 0; i < ticks; ++i) context_.raft->Step(raft::Tick{});
    disk_.OnTick();
    // A leader whose disk hangs would keep its followers content with heartbeats for ever, and
    // nothing would be written. The step is repeated, so that the node does not campaign while the
    // stall lasts.
    if (disk_.blocked()) context_.raft->Step(raft::StepDown{context_.Elections(4)});
    if (disk_.low() || !in_service()) fitness_.OnTickUnfit(/*troubled=*/!in_service());
    TellFitness();
    TellCallers();
    sends_.OnTick();
    changes_.OnTick();
    level_raise_.OnTick();
    new_cluster_level_.OnTick();
    removal_.OnTick();
    standing_.OnTick();
    ProposeOwn();
    digests_.OnTick();
    freshness_.OnTick();
    results_.OnTick();
    reads_.OnApplied(readable());
    directory_.OnTick();
    compaction_.Step(applied_.index, disk_.low());
  }
  ExpireRequests(context_.now());
  shutdown_.Step(proposals_.settled() && results_.settled());
}

// Tells callers what decides later whether a process that says that it is a member may be that
// member.
void ReplicaCore::TellCallers() {
  const bool leads = is_leader();
  callers_->OnRole(leads || context_.raft->leader().is_none());
  std::map<MemberId, LogIndex> held;
  if (leads) {
    for (const auto& [id, peer] : context_.raft->status().peers) held.emplace(id, peer.match);
  }
  callers_->OnAcknowledged(context_.raft->term(), held);
}

void ReplicaCore::NoteLogged(const std::vector<raft::Entry>& entries) {
  for (const raft::Entry& entry : entries) {
    if (entry.type != raft::EntryType::kConfig) continue;
    if (const auto config = raft::DecodeConfiguration(*entry.payload)) callers_->OnLogged(*config);
  }
}

// Proposes what the leader itself has to tell the state machines.
void ReplicaCore::ProposeOwn() {
  if (!proposals_.LeaseNow(context_.now()) || Refusal()) return;
  if (applied_.next_deadline_lease_ms) proposals_.ExpirePrepared(*applied_.next_deadline_lease_ms);
  time_series_.Step(applied_.time_series);
  if (!digests_.Due(applied_.index)) return;
  digests_.OnProposed();
  state_machine::Command command;
  command.operation = state_machine::Digest{};
  proposals_.AddOwn(std::move(command));
}

void ReplicaCore::ExpireRequests(SteadyTime now) {
  proposals_.Expire(now);
  results_.Expire(now);
  level_raise_.Expire(now);
  const Status no_index = leader_hint()
                              ? DeadlineExceeded("no majority confirmed the leader in time")
                              : Unavailable("no leader is known");
  reads_.Expire(now, no_index,
                DeadlineExceeded("this node has not applied the log far enough in time"));
  leader_requests_.Expire(now, NoLeader());
}

// ---- Requests

// Why no write is accepted; none: writes are accepted.
std::optional<Status> ReplicaCore::Refusal() const {
  if (context_.shutting_down) {
    return Unavailable("the node is shutting down").With(Outcome::kNotApplied);
  }
  // The full disk comes before the trouble that it makes. UNAVAILABLE is tried again until the time
  // is over, and the client would never learn what is wrong.
  if (auto full = DiskFull()) return std::move(*full).With(Outcome::kNotApplied);
  if (!in_service()) {
    return Unavailable(TroubleInWords()).With(Outcome::kNotApplied);
  }
  if (!removal_.removed().ok()) return Status(removal_.removed()).With(Outcome::kNotApplied);
  if (!lost().ok()) return Status(lost()).With(Outcome::kNotApplied);
  return std::nullopt;
}

// RESOURCE_EXHAUSTED, with the reason, while this node's disk has no room for writes.
std::optional<Status> ReplicaCore::DiskFull() const {
  if (auto full = disk_.Full()) return full;
  if (recovery_.trouble().code() != StatusCode::kResourceExhausted) return std::nullopt;
  return ResourceExhausted(TroubleInWords());
}

// The answer to a client that has waited for a leader. A full disk may be why there is none.
Status ReplicaCore::NoLeader() const {
  if (auto full = DiskFull()) return std::move(*full).Prefixed("no leader is known");
  return Unavailable("no leader is known");
}

void ReplicaCore::Propose(PendingCommandPtr command) {
  if (auto refusal = Refusal()) {
    WriteRefusal why = WriteRefusal::kOutOfService;
    if (context_.shutting_down) {
      why = WriteRefusal::kStopping;
    } else if (DiskFull()) {
      why = WriteRefusal::kDiskFull;
    }
    context_.options.counts->Refuse(why);
    return command->Finish(*std::move(refusal));
  }
  proposals_.Add(std::move(command));
}

void ReplicaCore::ReadBarrier(const ReadOptions& options, SteadyTime deadline, ReadDone done) {
  if (context_.shutting_down) return done(Unavailable("the node is shutting down"));
  if (!in_service()) return done(Unavailable(TroubleInWords()));
  if (!removal_.removed().ok()) return done(removal_.removed());
  if (!lost().ok()) return done(lost());
  PendingRead read{options.index_min, deadline, std::move(done)};
  if (options.level == ReadLevel::kLinearizable) return reads_.AddLinearizable(std::move(read));
  if (auto refusal = LocalReadRefusal()) return read.done(*std::move(refusal));
  if (options.staleness_max) {
    const std::optional<SteadyTime> age = freshness_.Age();
    if (!age || *age > *options.staleness_max)
      return read.done(TooOld(age, *options.staleness_max));
  }
  reads_.AddLocal(std::move(read), readable());
}

// Why nothing of what this node holds is shown; none: it is shown. A node whose disk was lost and
// that was let in anew has an empty database, or one that it is given in parts. A client that asked
// it before would hear that a table does not exist. The node shows nothing until it holds what was
// committed when it was let in.
std::optional<Status> ReplicaCore::LocalReadRefusal() const {
  if (!in_service()) return Unavailable(TroubleInWords());
  if (!removal_.removed().ok()) return removal_.removed();
  if (!lost().ok()) return lost();
  if (!context_.raft) return Unavailable("this node does not take part in a cluster yet");
  if (admitted_) return std::nullopt;
  return Unavailable("this node was let into the cluster, and still catches up to that point");
}

void ReplicaCore::NoteAdmission() {
  const raft::Configuration& config = context_.config;
  if (admitted_ || !config.Contains(context_.self) || context_.config_index.is_none()) return;
  admitted_ = applied_.index >= context_.config_index;
}

void ReplicaCore::AwaitLeader(SteadyTime deadline, std::function<void(Result<LeaderHint>)> done) {
  leader_requests_.AwaitLeader(deadline, std::move(done));
}

void ReplicaCore::TransferLeadership(uint64_t node_id, SteadyTime deadline,
                                     std::function<void(Status)> done) {
  leader_requests_.Transfer(node_id, deadline, std::move(done));
}

void ReplicaCore::ChangeMembership(Replica::MembershipChange change, SteadyTime deadline,
                                   std::function<void(const std::string&)> progress,
                                   std::function<void(Status)> done) {
  changes_.Change(std::move(change), deadline, std::move(progress), std::move(done));
}

void ReplicaCore::RaiseLevel(SteadyTime deadline, LevelRaise::Asker asker, LevelRaise::Done done) {
  if (auto refusal = Refusal()) return done(*std::move(refusal));
  if (const auto node = changes_.NodeUnderWay()) {
    return done(FailedPrecondition("a change of membership is under way (node " +
                                   std::to_string(*node) +
                                   "): raise the level when it is done, or interrupt the command "
                                   "that asked for it"));
  }
  level_raise_.Begin(deadline, asker, std::move(done));
}

void ReplicaCore::Join(const transport::JoinRequest& request,
                       const std::function<void(Result<transport::JoinReply>)>& reply) {
  changes_.Join(request, reply);
}

void ReplicaCore::BeginShutdown(SteadyTime deadline, std::function<void()> done) {
  shutdown_.Begin(deadline, std::move(done));
  proposals_.RefuseQueued(Unavailable("the node is shutting down").With(Outcome::kNotApplied));
  shutdown_.Step(proposals_.settled() && results_.settled());
}

// ---- What others may know

transport::ProbeReply ReplicaCore::probe_reply() const {
  transport::ProbeReply reply;
  reply.identity = identity();
  reply.stage = boot_.record().stage;
  reply.listed_peers = context_.options.listed_peers;
  if (context_.raft) {
    reply.config = context_.config;
    reply.config_index = context_.config_index;
  }
  if (const auto hint = leader_hint()) {
    reply.leader_node_id = hint->node_id;
    reply.leader_address = hint->address;
  }
  return reply;
}

ReplicaStatus ReplicaCore::status() const {
  ReplicaStatus status;
  if (context_.raft) status.core = context_.raft->status();
  status.cluster_id = boot_.record().cluster_id;
  status.stage = boot_.record().stage;
  status.waiting_for = boot_.waiting_for();
  status.durable_state = compaction_.durable_state();
  status.log_bytes = compaction_.log_bytes();
  status.lease_ms = proposals_.LeaseNow(context_.now()).value_or(applied_.lease_ms);
  status.wall_ms = applied_.wall_ms;
  status.age = freshness_.age();
  status.queued_bytes = queued_bytes();
  status.queued_commands = proposals_.queued_commands();
  status.entries_in_flight = proposals_.entries_in_flight();
  status.clock_doubt = !proposals_.ClockDoubt().empty();
  if (const auto refusal = LocalReadRefusal()) status.not_serving = refusal->message();
  status.level = applied_.level;
  status.level_max = context_.options.level_max;
  status.apply_stopped = !in_service();
  status.fenced = !digests_.fence().ok();
  status.digests = digests_.status();
  if (status.digests.doubt.empty()) status.digests.doubt = sends_.TroubleInWords();
  if (status.digests.doubt.empty()) status.digests.doubt = results_.doubt();
  if (status.digests.doubt.empty()) status.digests.doubt = proposals_.ClockDoubt();
  if (!lost().ok()) {
    status.trouble = lost();
  } else if (!in_service()) {
    status.trouble = Status(recovery_.trouble().code(), TroubleInWords());
  } else if (!removal_.removed().ok()) {
    status.trouble = removal_.removed();
  } else if (auto refusal = Refusal()) {
    status.trouble = *refusal;
  } else if (Status twin = standing_.twin(); !twin.ok()) {
    status.trouble = std::move(twin);
  }
  return status;
}

}  // namespace cairn::node
