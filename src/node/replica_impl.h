// ReplicaImpl: the threads around ReplicaCore. Mailboxes lead in and workers lead out. The class
// makes no decisions. Every call from another thread becomes an event of the core thread. What
// other threads ask often is published by the core thread instead.
//
// replica.cc has the core thread and the requests, replica_transport.cc what peers ask and are
// asked.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/mailbox.h"
#include "base/mutex.h"
#include "base/rng.h"
#include "node/apply_worker.h"
#include "node/busy_watch.h"
#include "node/log_worker.h"
#include "node/replica.h"
#include "node/replica_core.h"
#include "node/scrub_worker.h"
#include "node/snapshot_worker.h"
#include "node/start_state.h"

namespace cairn::node {

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
        last_turn_(clock->SteadyNow()),
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
            },
            [under_way = writes_under_way_] { return under_way->load(); }),
        core_(std::make_unique<ReplicaCore>(options, std::move(start), clock, &rng_, this)),
        callers_(core_->callers()) {
    Publish(/*with_status=*/true);
  }
  // Without Shutdown: the process ends as if killed, except that every callback is called.
  ~ReplicaImpl() override { StopThreads(/*checkpoint=*/false); }

  // ---- Replica
  void Start(transport::Transport* transport) override;
  transport::Handler* handler() override { return this; }
  void Propose(const state_machine::Command& command, SteadyTime deadline, CommandDone done,
               CallerGone gone) override;
  void OnCallersGone() override;
  void ReadBarrier(const ReadOptions& options, SteadyTime deadline, ReadDone done) override;
  state_machine::StateMachine& state() override { return *state_; }
  void AwaitLeader(SteadyTime deadline, std::function<void(Result<LeaderHint>)> done) override;
  void SetLeaderWatcher(std::function<void()> watcher) override { watcher_ = std::move(watcher); }
  std::optional<LeaderHint> leader_hint() const override;
  bool is_leader() const override { return is_leader_; }
  ReplicaStatus status() const override;
  SteadyTime last_turn() const override { return last_turn_.load(); }
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
  void SetPeers(const transport::Peers& peers) override { transport_->SetPeers(peers); }
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
  using Event = std::function<void(ReplicaCore&)>;
  using Events = Mailbox<Event>;

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
  // Of the proposals in the mailbox.
  std::atomic<size_t> proposal_bytes_{0};
  std::atomic<size_t> proposals_{0};
  std::atomic<bool> callers_gone_{false};  // the news is in the mailbox

  // What other threads may read; the core thread writes it.
  std::atomic<SteadyTime> last_turn_;
  std::atomic<bool> is_leader_{false};
  std::atomic<bool> installing_{false};
  std::atomic<bool> handing_over_{false};  // a received snapshot is on its way to the core
  std::atomic<bool> serves_local_reads_{false};
  std::atomic<bool> compares_results_{true};
  std::atomic<uint64_t> applied_{0};
  std::atomic<bool> awaits_applied_{true};
  std::atomic<bool> awaits_persisted_{true};
  std::atomic<uint64_t> snapshot_min_{0};
  // Of this leader. Shared with transfers, which may outlive this object.
  const std::shared_ptr<std::atomic<bool>> writes_under_way_ =
      std::make_shared<std::atomic<bool>>(false);
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

}  // namespace cairn::node
