// The threads around ReplicaCore: mailboxes in, workers out. No decision is made here.
#include "node/replica.h"

#include <algorithm>
#include <atomic>
#include <future>
#include <thread>
#include <utility>

#include "base/log.h"
#include "base/mailbox.h"
#include "base/mutex.h"
#include "base/rng.h"
#include "node/apply_worker.h"
#include "node/busy_watch.h"
#include "node/log_worker.h"
#include "node/replica_core.h"
#include "node/scrub_worker.h"
#include "node/snapshot_worker.h"
#include "node/start_state.h"
#include "node/tick_pacer.h"

namespace cairn::node {
namespace {

// The bytes that a waiting message of a peer counts in addition to its own. Past the bound messages
// are dropped, and Raft sends them again.
constexpr size_t kMessageOverheadBytes = 128;
constexpr SteadyTime kProbeTimeout = std::chrono::seconds(1);
constexpr SteadyTime kJoinTimeout = std::chrono::seconds(10);

using Event = std::function<void(ReplicaCore&)>;
using Events = Mailbox<Event>;

size_t MessageBytes(const std::vector<raft::Message>& messages) {
  size_t bytes = 0;
  for (const raft::Message& message : messages) {
    bytes += kMessageOverheadBytes;
    if (const auto* append = std::get_if<raft::AppendRequest>(&message.body)) {
      for (const raft::Entry& entry : append->entries) {
        bytes += entry.payload->size() + sizeof(raft::Entry);
      }
    }
  }
  return bytes;
}

class ReplicaImpl final : public Replica,
                          public transport::Handler,
                          public ReplicaEffects,
                          public LogWorkerEvents,
                          public ApplyWorkerEvents,
                          public ScrubWorkerEvents {
 public:
  ReplicaImpl(const ReplicaOptions& options, StartState start, FileSystem* fs,
              log_store::LogStore* log, state_machine::StateMachine* state, Clock* clock)
      : options_(options),
        fs_(fs),
        state_(state),
        clock_(clock),
        rng_(options.seed != 0 ? options.seed : SystemEntropy()),
        events_(std::make_shared<Events>()),
        log_worker_(options, fs, log, this),
        apply_worker_(options, fs, state, clock, this),
        scrub_worker_(clock, this),
        snapshot_worker_(
            options.group, state, clock,
            [events = events_](MemberId to, LogIndex index, uint64_t bytes) {
              events->Push([=](ReplicaCore& core) { core.OnSnapshotProgress(to, index, bytes); });
            },
            [events = events_](MemberId to, Status status, LogIndex index) {
              events->Push([to, status = std::move(status), index](ReplicaCore& core) {
                core.OnSnapshotSent(to, status, index);
              });
            }),
        core_(std::make_unique<ReplicaCore>(options, std::move(start), clock, &rng_, this)),
        callers_(core_->callers()) {
    Publish(/*with_status=*/true);
  }
  // Without Shutdown: the process ends as if killed, except that every callback is called.
  ~ReplicaImpl() override { StopThreads(/*checkpoint=*/false); }

  // ---- Replica
  void Start(transport::Transport* transport) override;
  transport::Handler* handler() override { return this; }
  void Propose(state_machine::Command command, SteadyTime deadline, CommandDone done) override;
  void ReadBarrier(const ReadOptions& options, SteadyTime deadline, ReadDone done) override;
  state_machine::StateMachine& state() override { return *state_; }
  void AwaitLeader(SteadyTime deadline, std::function<void(Result<LeaderHint>)> done) override;
  void SetLeaderWatcher(std::function<void()> watcher) override { watcher_ = std::move(watcher); }
  std::optional<LeaderHint> leader_hint() const override;
  bool is_leader() const override { return is_leader_; }
  ReplicaStatus status() const override;
  void ChangeMembership(MembershipChange change, SteadyTime deadline,
                        std::function<void(const std::string&)> progress,
                        std::function<void(Status)> done) override;
  void TransferLeadership(uint64_t node_id, SteadyTime deadline,
                          std::function<void(Status)> done) override;
  void RaiseLevel(SteadyTime deadline, std::function<void(Result<uint64_t>)> done) override;
  bool compares_results() const override { return compares_results_; }
  void Shutdown(SteadyTime timeout) override;

  // ---- transport::Handler
  void OnMessages(GroupId group, const raft::Boot& sender,
                  std::vector<raft::Message> messages) override;
  Status OnCaller(const transport::Identity& caller) override;
  void OnCallerLeft(const transport::Identity& caller) override {
    callers_->Leave(caller, clock_->SteadyNow());
  }
  bool Counts(const transport::Identity& caller) override {
    return callers_->Counts(caller.member, caller.start.boot);
  }
  bool OnReached(MemberId member, const raft::Boot& boot) override {
    return callers_->MayReach(member, boot);
  }
  void OnRefused(MemberId by, const Status& why) override {
    Post([by, why](ReplicaCore& core) { core.OnRefused(by, why); });
  }
  void OnUnreachable(GroupId group, MemberId member) override;
  void OnPeerGone(GroupId group, MemberId member) override;
  transport::ProbeReply OnProbe() override;
  void OnJoin(const transport::JoinRequest& request,
              std::function<void(Result<transport::JoinReply>)> reply) override;
  bool OnSnapshotOffered(GroupId group, MemberId from, const raft::SnapshotMeta& meta) override;
  Status OnSnapshotReceived(GroupId group, MemberId from, const raft::SnapshotMeta& meta,
                            const std::string& path, const std::function<bool()>& proceed) override;

  // ---- ReplicaEffects, on the core thread
  void PersistLog(std::vector<raft::Persist> persists) override {
    for (raft::Persist& persist : persists) log_worker_.Push(std::move(persist));
  }
  void FetchLog(const raft::Fetch& fetch) override { log_worker_.Push(fetch); }
  void CompactLog(CompactionPoint point) override { log_worker_.Push(point); }
  void SaveIdentity(const IdentityRecord& record) override { log_worker_.Push(record); }
  void RememberCopy(const Status& why) override {
    log_worker_.Push(LogWorker::CopyNote{why.message()});
  }
  void Apply(ApplyJob job, bool urgent) override {
    if (urgent) {
      apply_worker_.Push(std::move(job));
    } else {
      apply_worker_.PushQuietly(std::move(job));
    }
  }
  void WakeApply() override { apply_worker_.Wake(); }
  void Checkpoint() override { apply_worker_.Push(ApplyWorker::CheckpointTask{}); }
  void ResumeApply(uint64_t stops) override { apply_worker_.Push(ApplyWorker::ResumeTask{stops}); }
  void Fence(const Status& why) override { apply_worker_.Push(ApplyWorker::FenceTask{why}); }
  void InstallSnapshot(const std::string& path, const raft::SnapshotMeta& meta) override {
    apply_worker_.Push(ApplyWorker::InstallTask{path, meta});
  }
  void RemoveFile(const std::string& path) override {
    apply_worker_.Push(ApplyWorker::RemoveFileTask{path});
  }
  void Send(std::vector<raft::Message> messages) override {
    transport_->Send(options_.group, std::move(messages));
  }
  void StreamSnapshot(MemberId from, MemberId to, LogIndex index_min) override {
    snapshot_worker_.Push({from, to, index_min, transport_});
  }
  void SetIdentity(const transport::Identity& identity) override {
    transport_->SetIdentity(identity);
  }
  void SetPeers(const std::map<MemberId, transport::Addresses>& peers) override {
    transport_->SetPeers(peers);
  }
  void Probe(const std::string& address,
             std::function<void(Result<transport::ProbeReply>)> done) override;
  void Join(const std::string& address, const transport::JoinRequest& request,
            std::function<void(Result<transport::JoinReply>)> done) override;

  // ---- LogWorkerEvents, on the log thread
  void OnDurable(std::vector<raft::Message> send, std::vector<raft::AppendTicket> tickets) override;
  void OnFetched(raft::Fetched fetched) override {
    Post([fetched = std::move(fetched)](ReplicaCore& core) mutable {
      core.OnFetched(std::move(fetched));
    });
  }
  void OnIdentitySaved() override {
    Post([](ReplicaCore& core) { core.OnIdentitySaved(); });
  }
  void OnLogFull(const Status& status) override {
    Post([status](ReplicaCore& core) { core.OnLogFull(status); });
  }
  void OnFreeBytes(uint64_t bytes) override {
    Post([bytes](ReplicaCore& core) { core.OnFreeBytes(bytes); });
  }

  // ---- ApplyWorkerEvents, on the apply thread
  void OnApplied(const AppliedReport& report) override {
    PostNews([report](ReplicaCore& core) { core.OnApplied(report); }, awaits_applied_);
  }
  void OnApplyStopped(const Status& status) override {
    Post([status](ReplicaCore& core) { core.OnApplyStopped(status); });
  }
  void OnReopened(const state_machine::AppliedState& state, const AppliedReport& report) override {
    Post([=](ReplicaCore& core) { core.OnReopened(state, report); });
  }
  void OnCheckpointed(LogIndex durable) override {
    Post([durable](ReplicaCore& core) { core.OnCheckpointed(durable); });
  }
  void OnInstalled(const Status& status, const AppliedReport& report, LogIndex durable) override {
    Post([=](ReplicaCore& core) { core.OnInstalled(status, report, durable); });
  }
  void OnScan(std::unique_ptr<state_machine::StateScan> scan) override {
    scrub_worker_.Push(std::move(scan));
  }

  // ---- ScrubWorkerEvents, on the scrub thread
  void OnDigest(LogIndex index, const state_machine::StateDigest& digest) override {
    Post([=](ReplicaCore& core) { core.OnDigest(index, digest); });
  }
  void OnScrubbed(LogIndex index, const Status& found) override {
    Post([=](ReplicaCore& core) { core.OnScrubbed(index, found); });
  }

 private:
  bool Post(Event event) { return events_->Push(std::move(event)); }
  // The core thread sleeps on unless it awaits such news, which it says before it goes to sleep. If
  // it does not, it finds the event before it sleeps, or does not need it until the next tick.
  void PostNews(Event event, const std::atomic<bool>& awaited) {
    events_->PushQuietly(std::move(event));
    if (awaited) events_->Wake();
  }
  void RunCore();
  void Publish(bool with_status);
  void StopThreads(bool checkpoint);

  const ReplicaOptions options_;
  FileSystem* const fs_;
  state_machine::StateMachine* const state_;
  Clock* const clock_;
  Rng rng_;
  transport::Transport* transport_ = nullptr;
  std::function<void()> watcher_;
  // Shared with callbacks that may come after this object is gone; the mailbox is closed then.
  const std::shared_ptr<Events> events_;
  std::atomic<size_t> message_bytes_{0};
  std::atomic<size_t> proposal_bytes_{0};

  // What other threads may read; the core thread writes it.
  std::atomic<bool> is_leader_{false};
  std::atomic<bool> installing_{false};
  std::atomic<bool> handing_over_{false};  // a received snapshot is on its way to the core
  std::atomic<bool> serves_local_reads_{false};
  std::atomic<bool> compares_results_{true};
  std::atomic<uint64_t> applied_{0};
  std::atomic<bool> awaits_applied_{true};
  std::atomic<bool> awaits_persisted_{true};
  std::atomic<uint64_t> snapshot_min_{0};
  mutable Mutex published_mutex_;
  ReplicaStatus published_status_ CAIRN_GUARDED_BY(published_mutex_);
  std::optional<LeaderHint> published_hint_ CAIRN_GUARDED_BY(published_mutex_);
  transport::ProbeReply published_probe_ CAIRN_GUARDED_BY(published_mutex_);
  uint64_t published_version_ = 0;  // used by the core thread, as the next two
  BusyWatch busy_watch_;
  std::optional<BusyApply> busy_apply_;

  LogWorker log_worker_;
  ApplyWorker apply_worker_;
  ScrubWorker scrub_worker_;
  SnapshotWorker snapshot_worker_;
  std::unique_ptr<ReplicaCore> core_;       // used by the core thread while that runs
  const std::shared_ptr<Callers> callers_;  // of the core
  std::thread core_thread_;
  std::atomic<bool> shut_down_{false};
};

// ---- The core thread

void ReplicaImpl::Start(transport::Transport* transport) {
  transport_ = transport;
  log_worker_.Start();
  apply_worker_.Start();
  snapshot_worker_.Start();
  scrub_worker_.Start();
  core_thread_ = std::thread([this] { RunCore(); });
}

void ReplicaImpl::RunCore() {
  core_->Start();
  if (core_->compares_results()) compares_results_ = true;
  core_->Flush();
  Publish(true);
  TickPacer pacer(options_.tick, clock_->SteadyNow());
  std::vector<Event> events;
  const auto until_due = [&] {
    const SteadyTime due = std::min(pacer.next(), core_->NextFlush());
    return std::max(SteadyTime(0), due - clock_->SteadyNow());
  };
  while (events_->PopAll(&events, until_due())) {
    for (Event& event : events) event(*core_);
    events.clear();
    const uint64_t ticks = pacer.Take(clock_->SteadyNow());
    if (ticks > 0) core_->OnTick(ticks);
    // Set before anything is applied whose results wait: a view that holds it waits, too.
    if (core_->compares_results()) compares_results_ = true;
    core_->Flush();
    Publish(/*with_status=*/ticks > 0);
  }
}

void ReplicaImpl::Publish(bool with_status) {
  awaits_applied_ = core_->awaits_applied();
  awaits_persisted_ = core_->awaits_persisted();
  applied_ = core_->applied().value();
  snapshot_min_ = core_->snapshot_min().value();
  installing_ = core_->installing();
  serves_local_reads_ = core_->serves_local_reads();
  compares_results_ = core_->compares_results();
  const bool changed = core_->version() != published_version_;
  if (!with_status && !changed) return;
  ReplicaStatus status = core_->status();
  // At each tick, not after each event, because this takes a lock that the apply thread takes.
  if (with_status) busy_apply_ = busy_watch_.Look(state_->Applying(), clock_->SteadyNow());
  status.busy_apply = busy_apply_;
  bool leader_changed = false;
  {
    MutexLock lock(published_mutex_);
    published_status_ = std::move(status);
    if (!changed) return;
    published_version_ = core_->version();
    const std::optional<LeaderHint> hint = core_->leader_hint();
    leader_changed = is_leader_ != core_->is_leader() || published_hint_ != hint;
    is_leader_ = core_->is_leader();
    published_hint_ = hint;
    published_probe_ = core_->probe_reply();
  }
  if (leader_changed && watcher_) watcher_();
}

std::optional<LeaderHint> ReplicaImpl::leader_hint() const {
  MutexLock lock(published_mutex_);
  return published_hint_;
}

ReplicaStatus ReplicaImpl::status() const {
  MutexLock lock(published_mutex_);
  return published_status_;
}

// ---- Requests

void ReplicaImpl::Propose(state_machine::Command command, SteadyTime deadline, CommandDone done) {
  // The caller's thread encodes the command, because there is only one core thread.
  auto pending = std::make_shared<PendingCommand>(state_machine::EncodeCommand(command), deadline,
                                                  std::move(done), TraitsOf(command));
  const size_t bytes = pending->bytes();
  if (bytes > state_machine::kCommandBytesMax) {
    return pending->Finish(InvalidArgument("the command is larger than " +
                                           std::to_string(state_machine::kCommandBytesMax) +
                                           " bytes")
                               .With(Outcome::kNotApplied));
  }
  if (proposal_bytes_.fetch_add(bytes) + bytes > options_.proposal_queue_bytes_max) {
    proposal_bytes_ -= bytes;
    return pending->Finish(
        ResourceExhausted("too many writes are waiting on this node").With(Outcome::kNotApplied));
  }
  const bool taken = Post([this, pending, bytes](ReplicaCore& core) {
    proposal_bytes_ -= bytes;
    core.Propose(pending);
  });
  if (!taken) {
    pending->Finish(Unavailable("the node is shutting down").With(Outcome::kNotApplied));
  }
}

void ReplicaImpl::ReadBarrier(const ReadOptions& options, SteadyTime deadline, ReadDone done) {
  const LogIndex applied(applied_.load());
  // While results are compared, what is applied must not be shown yet to the reader.
  const bool reached =
      options.index_min.is_none() || (options.index_min <= applied && !compares_results_);
  if (options.level == ReadLevel::kStale && !options.staleness_max && reached && !shut_down_ &&
      serves_local_reads_) {
    return done(applied);  // nothing to wait for
  }
  if (!Post([=](ReplicaCore& core) { core.ReadBarrier(options, deadline, done); })) {
    done(Unavailable("the node is shutting down"));
  }
}

void ReplicaImpl::AwaitLeader(SteadyTime deadline, std::function<void(Result<LeaderHint>)> done) {
  if (auto hint = leader_hint()) return done(*std::move(hint));
  // A caller that hears that there is a leader asks next where it is, and whether it is this node.
  const auto published = [this, done](Result<LeaderHint> hint) {
    if (hint.ok()) Publish(/*with_status=*/false);
    done(std::move(hint));
  };
  if (!Post([=](ReplicaCore& core) { core.AwaitLeader(deadline, published); })) {
    done(Unavailable("the node is shutting down"));
  }
}

void ReplicaImpl::ChangeMembership(MembershipChange change, SteadyTime deadline,
                                   std::function<void(const std::string&)> progress,
                                   std::function<void(Status)> done) {
  const bool taken =
      Post([=](ReplicaCore& core) { core.ChangeMembership(change, deadline, progress, done); });
  if (!taken) done(Unavailable("the node is shutting down"));
}

void ReplicaImpl::TransferLeadership(uint64_t node_id, SteadyTime deadline,
                                     std::function<void(Status)> done) {
  // A caller that hears that leadership has moved asks next where to.
  const auto published = [this, done](Status status) {
    if (status.ok()) Publish(/*with_status=*/false);
    done(std::move(status));
  };
  if (!Post([=](ReplicaCore& core) { core.TransferLeadership(node_id, deadline, published); })) {
    done(Unavailable("the node is shutting down"));
  }
}

void ReplicaImpl::RaiseLevel(SteadyTime deadline, std::function<void(Result<uint64_t>)> done) {
  if (!Post([=](ReplicaCore& core) { core.RaiseLevel(deadline, done); })) {
    done(Unavailable("the node is shutting down"));
  }
}

void ReplicaImpl::Shutdown(SteadyTime timeout) {
  if (shut_down_.exchange(true)) return;
  if (core_thread_.joinable()) {
    auto settled = std::make_shared<std::promise<void>>();
    std::future<void> done = settled->get_future();
    const SteadyTime deadline = clock_->SteadyNow() + timeout;
    Post([settled, deadline](ReplicaCore& core) {
      core.BeginShutdown(deadline, [settled] { settled->set_value(); });
    });
    done.wait_for(timeout);
  }
  StopThreads(/*checkpoint=*/true);
}

void ReplicaImpl::StopThreads(bool checkpoint) {
  // The core stops first. Then the workers get nothing new, and finish what they were given.
  events_->Close();
  if (core_thread_.joinable()) core_thread_.join();
  snapshot_worker_.Stop();
  scrub_worker_.Stop();
  log_worker_.Stop();
  apply_worker_.Stop(checkpoint);
  core_.reset();
}

// ---- From the transport

void ReplicaImpl::OnMessages(GroupId group, const raft::Boot& sender,
                             std::vector<raft::Message> messages) {
  if (group != options_.group) return;
  const size_t bytes = MessageBytes(messages);
  if (message_bytes_.fetch_add(bytes) > options_.message_queue_bytes_max) {
    message_bytes_ -= bytes;
    return;
  }
  Post([this, bytes, sender, messages = std::move(messages)](ReplicaCore& core) mutable {
    message_bytes_ -= bytes;
    core.OnMessages(sender, std::move(messages));
  });
}

Status ReplicaImpl::OnCaller(const transport::Identity& caller) {
  RETURN_IF_ERROR(callers_->Admit(caller, clock_->SteadyNow()));
  Post([member = caller.member, build = caller.engine.build](ReplicaCore& core) {
    core.OnCaller(member, build);
  });
  return OkStatus();
}

void ReplicaImpl::OnUnreachable(GroupId group, MemberId member) {
  if (group != options_.group) return;
  Post([member](ReplicaCore& core) { core.OnUnreachable(member); });
}

void ReplicaImpl::OnPeerGone(GroupId group, MemberId member) {
  if (group != options_.group) return;
  Post([member](ReplicaCore& core) { core.OnPeerGone(member); });
}

transport::ProbeReply ReplicaImpl::OnProbe() {
  MutexLock lock(published_mutex_);
  return published_probe_;
}

void ReplicaImpl::OnJoin(const transport::JoinRequest& request,
                         std::function<void(Result<transport::JoinReply>)> reply) {
  if (!Post([=](ReplicaCore& core) { core.Join(request, reply); })) {
    reply(Unavailable("the node is shutting down"));
  }
}

bool ReplicaImpl::OnSnapshotOffered(GroupId group, MemberId /*from*/,
                                    const raft::SnapshotMeta& meta) {
  return group == options_.group && !shut_down_ && !installing_ && !handing_over_ && !is_leader_ &&
         meta.index.value() >= snapshot_min_;
}

// The file is checked before the core hears of it: a core that has begun cannot go back.
Status ReplicaImpl::OnSnapshotReceived(GroupId /*group*/, MemberId from,
                                       const raft::SnapshotMeta& meta, const std::string& path,
                                       const std::function<bool()>& proceed) {
  Status status = state_->CheckSnapshot(path, meta, proceed);
  if (status.ok()) {
    // Until the core has the file no other one is received. The same snapshot would be the same
    // file, and would take the file away if its sender left.
    handing_over_ = true;
    const bool posted = Post([=, this](ReplicaCore& core) {
      core.OnSnapshotReceived(from, meta, path);
      installing_ = core.installing();
      handing_over_ = false;
    });
    if (posted) return OkStatus();
    status = Unavailable("the node is shutting down");
  }
  if (Status removed = fs_->Remove(path); !removed.ok()) LOG_WARN("{}", removed.message());
  return status;
}

// ---- To the transport

void ReplicaImpl::Probe(const std::string& address,
                        std::function<void(Result<transport::ProbeReply>)> done) {
  transport_->Probe(address, kProbeTimeout,
                    [events = events_, done](Result<transport::ProbeReply> reply) {
                      events->Push([done, reply = std::move(reply)](ReplicaCore&) { done(reply); });
                    });
}

void ReplicaImpl::Join(const std::string& address, const transport::JoinRequest& request,
                       std::function<void(Result<transport::JoinReply>)> done) {
  transport_->Join(address, request, kJoinTimeout,
                   [events = events_, done](Result<transport::JoinReply> reply) {
                     events->Push([done, reply = std::move(reply)](ReplicaCore&) { done(reply); });
                   });
}

void ReplicaImpl::OnDurable(std::vector<raft::Message> send,
                            std::vector<raft::AppendTicket> tickets) {
  if (!send.empty()) transport_->Send(options_.group, std::move(send));
  PostNews([ticket = tickets.back()](ReplicaCore& core) { core.OnPersisted(ticket); },
           awaits_persisted_);
}

}  // namespace

Result<std::unique_ptr<Replica>> Replica::Open(const ReplicaOptions& options, FileSystem* fs,
                                               log_store::LogStore* log,
                                               state_machine::StateMachine* state, Clock* clock) {
  // The nonce tells this data directory from any other, so it is never drawn from the seed.
  uint64_t nonce = 0;
  while (nonce == 0) nonce = SystemEntropy();
  ASSIGN_OR_RETURN(StartState start, LoadStartState(options, nonce, *fs, *log, *state));
  return std::unique_ptr<Replica>(
      new ReplicaImpl(options, std::move(start), fs, log, state, clock));
}

}  // namespace cairn::node
