#include "sim/process.h"

#include <algorithm>
#include <utility>

#include "log_store/segment_log.h"
#include "node/start_state.h"
#include "sim/miscounting_engine.h"
#include "state_machine/sqlite/sqlite_state_machine.h"
#include "transport/incoming_snapshot.h"

namespace cairn::sim {
namespace {

constexpr SteadyTime kProbeTimeout = seconds(1);
constexpr SteadyTime kJoinTimeout = seconds(10);
constexpr SteadyTime kLookAgain = milliseconds(500);

}  // namespace

// ---- Life

Process::Process(Node* node, World* world, Network* network, Observer* observer,
                 uint64_t incarnation)
    : node_(node),
      world_(world),
      network_(network),
      observer_(observer),
      incarnation_(incarnation),
      snapshot_directory_(node->snapshot_directory()),
      rng_(node->rng().Next()),
      identity_(std::make_shared<transport::Identity>()) {}

Process::~Process() { *alive_ = false; }

Result<std::unique_ptr<Process>> Process::Open(Node* node, World* world, Network* network,
                                               Observer* observer, uint64_t incarnation,
                                               uint64_t nonce) {
  std::unique_ptr<Process> process(new Process(node, world, network, observer, incarnation));
  RETURN_IF_ERROR(process->OpenFiles(nonce));
  return process;
}

Status Process::OpenFiles(uint64_t nonce) {
  const node::ReplicaOptions& replica = node_->options().replica;
  FaultFileSystem& disk = node_->disk();
  RETURN_IF_ERROR(disk.CreateDirectories(replica.data_directory));
  RETURN_IF_ERROR(disk.CreateDirectories(snapshot_directory_));
  log_store::SegmentLogOptions log_options;
  log_options.segment_bytes = node_->options().segment_bytes;
  log_options.prepare_in_background = false;
  log_options.new_log_id = rng_.Next() | 1;
  ASSIGN_OR_RETURN(log_,
                   log_store::OpenSegmentLog(disk, replica.data_directory + "/log", log_options));
  state_machine::SqliteOptions sqlite;
  sqlite.path = node_->database_path();
  sqlite.snapshot_directory = snapshot_directory_;
  sqlite.file_system = &disk;
  sqlite.clock = &node_->clock();
  sqlite.level_max = replica.level_max;
  sqlite.request_room_divisor = node_->options().request_room_divisor;
  ASSIGN_OR_RETURN(state_, state_machine::OpenSqliteStateMachine(sqlite, raft::Configuration()));
  if (node_->version().miscounts) state_ = NewMiscountingEngine(std::move(state_));
  RETURN_IF_ERROR(transport::RemoveReceivedSnapshots(disk, snapshot_directory_));
  ASSIGN_OR_RETURN(node::StartState start,
                   node::LoadStartState(replica, nonce, disk, *log_, *state_));
  observer_->OnRecovered(node_->id(), start);
  SimClock& clock = node_->clock();
  log_worker_ = std::make_unique<node::LogWorker>(replica, &disk, log_.get(), this);
  apply_worker_ = std::make_unique<node::ApplyWorker>(replica, &disk, state_.get(), &clock, this);
  scrub_worker_ = std::make_unique<node::ScrubWorker>(&clock, this);
  snapshot_worker_ = std::make_unique<node::SnapshotWorker>(
      replica.group, state_.get(), &clock,
      [this, alive = alive_](MemberId to, LogIndex index, uint64_t bytes) {
        if (!*alive) return;
        Post([=](node::ReplicaCore& core) { core.OnSnapshotProgress(to, index, bytes); });
      },
      [this, alive = alive_](MemberId to, const Status& status, LogIndex index) {
        if (!*alive) return;
        Post([=](node::ReplicaCore& core) { core.OnSnapshotSent(to, status, index); });
      });
  core_ = std::make_unique<node::ReplicaCore>(replica, std::move(start), &clock, &rng_, this);
  return OkStatus();
}

void Process::Run() {
  network_->Attach(node_->id(), node_->address(), this);
  pacer_ =
      std::make_unique<node::TickPacer>(node_->options().replica.tick, node_->clock().SteadyNow());
  Post([](node::ReplicaCore& core) { core.Start(); });
  ScheduleTick();
  Schedule(SteadyTime(0), Kind::kLogIdle, &Process::IdleLog);
  Schedule(SteadyTime(0), Kind::kApplyIdle, &Process::IdleApply);
}

void Process::Die(const std::string& why, bool may_be) {
  if (dead()) return;
  *alive_ = false;
  observer_->OnDied(node_->id(), why, may_be);
}

// A power cut within a write of the log ends the process (OnLogFailed). A power cut within a write
// of SQLite or of an incoming snapshot is only an error to the writer: without this check the node
// would run on without a disk and never be restarted.
bool Process::DieWithoutPower() {
  if (!dead() && node_->disk().power_is_off()) Die("the power went off", /*may_be=*/true);
  return dead();
}

void Process::Schedule(SteadyTime delay, Kind kind, void (Process::*method)()) {
  world_->After(delay, Label(kind, node_->id()),
                [node = node_, world = world_, incarnation = incarnation_, kind, method] {
                  RunWhenAwake(node, world, incarnation, kind, method);
                });
}

void Process::RunWhenAwake(Node* node, World* world, uint64_t incarnation, Kind kind,
                           void (Process::*method)()) {
  Process* process = node->process(incarnation);
  if (process == nullptr || process->dead()) return;
  if (node->paused_until() <= world->now()) return (process->*method)();
  // The process checks again at intervals, because the nemesis may resume it sooner.
  process->Schedule(std::min<SteadyTime>(node->paused_until() - world->now(), kLookAgain), kind,
                    method);
}

// ---- The core

void Process::Post(CoreEvent event, bool wake) {
  if (dead()) return;
  inbox_.push_back(std::move(event));
  if (!wake || std::exchange(wake_scheduled_, true)) return;
  Schedule(Exponential(rng_, node_->options().wake_mean), Kind::kWake, &Process::WakeCore);
}

void Process::RunCore() {
  for (CoreEvent& event : std::exchange(inbox_, {})) event(*core_);
  if (const uint64_t ticks = pacer_->Take(node_->clock().SteadyNow())) core_->OnTick(ticks);
  core_->Flush();
  const SteadyTime flush = core_->NextFlush();
  if (flush == SteadyTime::max()) return;
  const SteadyTime wait = flush - node_->clock().SteadyNow();
  if (wait <= SteadyTime(0)) {
    return Die("the core has just been flushed, and asks for it at once again", /*may_be=*/false);
  }
  if (std::exchange(flush_scheduled_, true)) return;
  Schedule(node_->clock().WorldTime(wait), Kind::kWake, &Process::FlushCore);
}

void Process::WakeCore() {
  wake_scheduled_ = false;
  RunCore();
}

void Process::FlushCore() {
  flush_scheduled_ = false;
  RunCore();
}

void Process::TickCore() {
  if (DieWithoutPower()) return;
  snapshot_worker_->DropIfDue();
  RunCore();
  ScheduleTick();
}

void Process::ScheduleTick() {
  const SimClock& clock = node_->clock();
  Schedule(clock.WorldTime(pacer_->next() - clock.SteadyNow()), Kind::kTick, &Process::TickCore);
}

// ---- Requests

void Process::Propose(const state_machine::Command& command, SteadyTime timeout,
                      node::CommandDone done) {
  auto pending = std::make_shared<node::PendingCommand>(
      state_machine::EncodeCommand(command), node_->clock().SteadyNow() + timeout,
      [alive = alive_, done = std::move(done)](Result<state_machine::CommandResult> result) {
        if (*alive) done(std::move(result));
      },
      node::TraitsOf(command));
  Post([pending](node::ReplicaCore& core) { core.Propose(pending); });
}

void Process::ReadBarrier(const node::ReadOptions& options, SteadyTime timeout,
                          std::function<void(Result<LogIndex>)> done) {
  const SteadyTime deadline = node_->clock().SteadyNow() + timeout;
  const bool linearizable = options.level == node::ReadLevel::kLinearizable;
  const LogIndex committed = linearizable ? observer_->committed_last() : LogIndex();
  Post([=, this, alive = alive_, done = std::move(done)](node::ReplicaCore& core) {
    core.ReadBarrier(options, deadline, [this, committed, alive, done](Result<LogIndex> index) {
      if (!*alive) return;
      if (index.ok()) observer_->OnReadIndex(node_->id(), committed, *index);
      done(std::move(index));
    });
  });
}

void Process::ChangeMembership(const node::Replica::MembershipChange& change, SteadyTime timeout,
                               std::function<void(Status)> done) {
  const SteadyTime deadline = node_->clock().SteadyNow() + timeout;
  Post([change, deadline, alive = alive_, done = std::move(done)](node::ReplicaCore& core) {
    core.ChangeMembership(
        change, deadline, [](const std::string&) {},
        [alive, done](Status status) {
          if (*alive) done(std::move(status));
        });
  });
}

void Process::TransferLeadership(uint64_t node_id, SteadyTime timeout,
                                 std::function<void(Status)> done) {
  const SteadyTime deadline = node_->clock().SteadyNow() + timeout;
  Post([node_id, deadline, alive = alive_, done = std::move(done)](node::ReplicaCore& core) {
    core.TransferLeadership(node_id, deadline, [alive, done](Status status) {
      if (*alive) done(std::move(status));
    });
  });
}

void Process::RaiseLevel(SteadyTime timeout, std::function<void(Result<uint64_t>)> done) {
  const SteadyTime deadline = node_->clock().SteadyNow() + timeout;
  Post([deadline, alive = alive_, done = std::move(done)](node::ReplicaCore& core) {
    core.RaiseLevel(deadline, [alive, done](Result<uint64_t> level) {
      if (*alive) done(std::move(level));
    });
  });
}

void Process::BeginShutdown(SteadyTime timeout, std::function<void()> done) {
  const SteadyTime deadline = node_->clock().SteadyNow() + timeout;
  Post([deadline, alive = alive_, done = std::move(done)](node::ReplicaCore& core) {
    core.BeginShutdown(deadline, [alive, done] {
      if (*alive) done();
    });
  });
}

void Process::FinishWork() {
  log_worker_->RunTasks(std::exchange(log_tasks_, {}));
  apply_worker_->RunRound(std::exchange(apply_tasks_, {}));
  apply_worker_->Checkpoint();
}

// ---- From the network

void Process::OnMessages(GroupId group, const raft::Boot& sender,
                         std::vector<raft::Message> messages) {
  if (group != node_->options().replica.group) return;
  auto shared = std::make_shared<std::vector<raft::Message>>(std::move(messages));
  Post([sender, shared](node::ReplicaCore& core) { core.OnMessages(sender, std::move(*shared)); });
}

Status Process::OnCaller(const transport::Identity& caller) {
  RETURN_IF_ERROR(core_->callers()->Admit(caller, node_->clock().SteadyNow()));
  Post([member = caller.member, build = caller.engine.build](node::ReplicaCore& core) {
    core.OnCaller(member, build);
  });
  return OkStatus();
}

void Process::OnCallerLeft(const transport::Identity& caller) {
  core_->callers()->Leave(caller, node_->clock().SteadyNow());
}

void Process::OnRefused(MemberId by, const Status& why) {
  Post([by, why](node::ReplicaCore& core) { core.OnRefused(by, why); });
}

void Process::OnUnreachable(GroupId /*group*/, MemberId member) {
  Post([member](node::ReplicaCore& core) { core.OnUnreachable(member); });
}

void Process::OnPeerGone(MemberId member) {
  Post([member](node::ReplicaCore& core) { core.OnPeerGone(member); });
}

void Process::OnJoin(const transport::JoinRequest& request,
                     std::function<void(Result<transport::JoinReply>)> reply) {
  Post([request, alive = alive_, reply = std::move(reply)](node::ReplicaCore& core) {
    core.Join(request, [alive, reply](Result<transport::JoinReply> answer) {
      if (*alive) reply(std::move(answer));
    });
  });
}

bool Process::OnSnapshotOffered(MemberId /*from*/, const raft::SnapshotMeta& meta) {
  return !dead() && !core_->installing() && !core_->is_leader() &&
         meta.index >= core_->snapshot_min();
}

Status Process::OnSnapshotReceived(MemberId from, const raft::SnapshotMeta& meta,
                                   const std::string& path) {
  if (dead()) return Unavailable("the process is gone");
  if (Status status = state_->CheckSnapshot(path, meta, /*proceed=*/{}); !status.ok()) {
    RemoveFile(path);
    return status;
  }
  Post([from, meta, path](node::ReplicaCore& core) { core.OnSnapshotReceived(from, meta, path); });
  return OkStatus();
}

// ---- To the network

void Process::Send(std::vector<raft::Message> messages) {
  if (dead()) return;
  network_->Send(node_->id(), node_->options().replica.group, peers_, messages);
}

void Process::StreamSnapshot(MemberId from, MemberId to, LogIndex index_min) {
  world_->After(Exponential(rng_, node_->options().apply_mean), Label(Kind::kSnapshot, node_->id()),
                [this, alive = alive_, from, to, index_min] {
                  if (*alive) snapshot_worker_->Send({from, to, index_min, this});
                });
}

void Process::SendSnapshot(GroupId group, MemberId from, MemberId to,
                           std::shared_ptr<transport::SnapshotSource> source,
                           std::function<void(Status)> done) {
  network_->SendSnapshot(node_->id(), group, peers_, from, to, std::move(source), std::move(done));
}

void Process::SetIdentity(const transport::Identity& identity) {
  identity_ = std::make_shared<transport::Identity>(identity);
}

void Process::Probe(const std::string& address,
                    std::function<void(Result<transport::ProbeReply>)> done) {
  Probe(address, kProbeTimeout, std::move(done));
}

void Process::Probe(const std::string& address, SteadyTime timeout,
                    std::function<void(Result<transport::ProbeReply>)> done) {
  network_->Probe(node_->id(), address, timeout, [this, done](Result<transport::ProbeReply> reply) {
    Post([done, reply = std::move(reply)](node::ReplicaCore&) { done(reply); });
  });
}

void Process::Join(const std::string& address, const transport::JoinRequest& request,
                   std::function<void(Result<transport::JoinReply>)> done) {
  Join(address, request, kJoinTimeout, std::move(done));
}

void Process::Join(const std::string& address, const transport::JoinRequest& request,
                   SteadyTime timeout, std::function<void(Result<transport::JoinReply>)> done) {
  network_->Join(node_->id(), address, request, timeout,
                 [this, done](Result<transport::JoinReply> reply) {
                   Post([done, reply = std::move(reply)](node::ReplicaCore&) { done(reply); });
                 });
}

void Process::OnCoreStarted(const raft::RaftCore& core) {
  observer_->OnCoreStarted(node_->id(), core);
}

void Process::OnCoreOutput(const raft::RaftCore& core, const raft::Output& output) {
  if (!dead()) observer_->OnCoreOutput(node_->id(), core, output);
}

void Process::OnCoreRestored(const raft::RaftCore& core, LogIndex index) {
  observer_->OnCoreRestored(node_->id(), core, index);
}

// ---- The log

void Process::PersistLog(std::vector<raft::Persist> persists) {
  for (raft::Persist& persist : persists) PushLog(std::move(persist));
}

void Process::PushLog(node::LogWorker::Task task) {
  if (dead()) return;
  log_tasks_.push_back(std::move(task));
  ScheduleLog();
}

SteadyTime Process::DiskTime() {
  const SteadyTime time = Exponential(rng_, node_->options().sync_mean);
  return SteadyTime(static_cast<int64_t>(static_cast<double>(time.count()) * node_->slow_disk));
}

void Process::ScheduleLog() {
  if (log_tasks_.empty() || std::exchange(log_busy_, true)) return;
  Schedule(DiskTime() / 8, Kind::kLogRun, &Process::RunLog);
}

void Process::RunLog() {
  log_was_idle_ = false;
  log_waits_ = !log_worker_->RunTasks(std::exchange(log_tasks_, {}));
  if (!dead()) Schedule(DiskTime(), Kind::kLogDone, &Process::FinishLog);
}

void Process::FinishLog() {
  if (const SteadyTime stalled = node_->disk_stalled_until() - world_->now();
      stalled > SteadyTime(0)) {
    return Schedule(std::min(stalled, kLookAgain), Kind::kLogDone, &Process::FinishLog);
  }
  for (News& news : std::exchange(log_news_, {})) news();
  log_busy_ = false;
  if (dead()) return;
  if (log_waits_) {
    log_busy_ = true;
    Schedule(node::LogWorker::kFullRetry, Kind::kLogRun, &Process::RunLog);
  } else {
    ScheduleLog();
  }
}

void Process::IdleLog() {
  if (!log_busy_) {
    if (std::exchange(log_was_idle_, true)) log_worker_->OnIdle();
    if (dead()) return;
    log_worker_->CheckFreeBytes();
    for (News& news : std::exchange(log_news_, {})) news();
  }
  Schedule(node::LogWorker::kIdleAfter, Kind::kLogIdle, &Process::IdleLog);
}

void Process::OnDurable(std::vector<raft::Message> send, std::vector<raft::AppendTicket> tickets) {
  observer_->OnDurable(node_->id(), send, tickets);
  auto messages = std::make_shared<std::vector<raft::Message>>(std::move(send));
  log_news_.push_back([this, messages, ticket = tickets.back()] {
    if (!messages->empty()) Send(std::move(*messages));
    Post([ticket](node::ReplicaCore& core) { core.OnPersisted(ticket); },
         core_->awaits_persisted());
  });
}

void Process::OnFetched(raft::Fetched fetched) {
  log_news_.push_back([this, fetched = std::move(fetched)] {
    Post([fetched](node::ReplicaCore& core) { core.OnFetched(fetched); });
  });
}

void Process::OnIdentitySaved() {
  log_news_.push_back([this] { Post([](node::ReplicaCore& core) { core.OnIdentitySaved(); }); });
}

void Process::OnLogFull(const Status& status) {
  log_news_.push_back(
      [this, status] { Post([status](node::ReplicaCore& core) { core.OnLogFull(status); }); });
}

void Process::OnFreeBytes(uint64_t bytes) {
  log_news_.push_back(
      [this, bytes] { Post([bytes](node::ReplicaCore& core) { core.OnFreeBytes(bytes); }); });
}

void Process::OnLogFailed(const std::string& what, const Status& status) {
  Die(what + ": " + status.ToString(), /*may_be=*/true);
}

// ---- The state machine

void Process::PushApply(node::ApplyWorker::Task task) {
  if (dead()) return;
  apply_tasks_.push_back(std::move(task));
  ScheduleApply();
}

void Process::ScheduleApply() {
  if (apply_tasks_.empty() || std::exchange(apply_busy_, true)) return;
  Schedule(Exponential(rng_, node_->options().apply_mean), Kind::kApplyRun, &Process::RunApply);
}

void Process::RunApply() {
  apply_worker_->RunRound(std::exchange(apply_tasks_, {}));
  if (DieWithoutPower()) return;
  observer_->OnApplied(node_->id(), state_->applied_index());
  Schedule(Exponential(rng_, node_->options().apply_mean), Kind::kApplyDone, &Process::FinishApply);
}

void Process::FinishApply() {
  for (News& news : std::exchange(apply_news_, {})) news();
  apply_busy_ = false;
  ScheduleApply();
}

void Process::IdleApply() {
  SteadyTime wait = seconds(1);
  if (!apply_busy_) {
    wait = std::clamp<SteadyTime>(apply_worker_->RunRound({}), milliseconds(10), seconds(1));
    if (DieWithoutPower()) return;
    for (News& news : std::exchange(apply_news_, {})) news();
  }
  Schedule(wait, Kind::kApplyIdle, &Process::IdleApply);
}

void Process::OnApplied(const node::AppliedReport& report) {
  apply_news_.push_back(
      [this, report] { Post([report](node::ReplicaCore& core) { core.OnApplied(report); }); });
}

void Process::OnApplyStopped(const Status& status) {
  apply_news_.push_back(
      [this, status] { Post([status](node::ReplicaCore& core) { core.OnApplyStopped(status); }); });
}

void Process::OnReopened(const state_machine::AppliedState& state,
                         const node::AppliedReport& report) {
  apply_news_.push_back([this, state, report] {
    Post([=](node::ReplicaCore& core) { core.OnReopened(state, report); });
  });
}

void Process::OnCheckpointed(LogIndex durable) {
  apply_news_.push_back([this, durable] {
    Post([durable](node::ReplicaCore& core) { core.OnCheckpointed(durable); });
  });
}

// No time passes during a round, so the slice of the round never ends before all is read.
void Process::OnScan(std::unique_ptr<state_machine::StateScan> scan) {
  std::vector<node::ScrubWorker::Scan> scans;
  scans.push_back(std::move(scan));
  while (scrub_worker_->RunRound(std::exchange(scans, {})) != SteadyTime::max()) continue;
}

void Process::OnDigest(LogIndex index, const state_machine::StateDigest& digest) {
  apply_news_.push_back([this, index, digest] {
    Post([=](node::ReplicaCore& core) { core.OnDigest(index, digest); });
  });
}

void Process::OnScrubbed(LogIndex index, const Status& found) {
  apply_news_.push_back([this, index, found] {
    Post([=](node::ReplicaCore& core) { core.OnScrubbed(index, found); });
  });
}

void Process::OnInstalled(const Status& status, const node::AppliedReport& report,
                          LogIndex durable) {
  if (status.ok()) observer_->OnReplaced(node_->id());
  apply_news_.push_back([this, status, report, durable] {
    Post([=](node::ReplicaCore& core) { core.OnInstalled(status, report, durable); });
  });
}

}  // namespace cairn::sim
