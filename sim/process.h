// Process: one run of the server's logic on a node, from opening its files to its death.
//
// It uses the same objects as the server, from ReplicaCore down, without the threads: a vector
// replaces each mailbox, and an event replaces the wake-up of a thread. A worker takes all queued
// work when it wakes, works in zero time, and its news comes out some time later. So a crash can
// fall before the work, between the work and its news, and, by faults of the disk, within the work.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "log_store/log_store.h"
#include "node/apply_worker.h"
#include "node/log_worker.h"
#include "node/pending_command.h"
#include "node/replica_core.h"
#include "node/replica_effects.h"
#include "node/scrub_worker.h"
#include "node/snapshot_worker.h"
#include "node/tick_pacer.h"
#include "sim/network.h"
#include "sim/node.h"
#include "sim/observer.h"
#include "sim/world.h"
#include "state_machine/state_machine.h"
#include "transport/transport.h"

namespace cairn::sim {

class Process final : public Endpoint,
                      public node::ReplicaEffects,
                      public node::LogWorkerEvents,
                      public node::ApplyWorkerEvents,
                      public node::ScrubWorkerEvents,
                      public transport::Transport {
 public:
  // Opens everything on the node's disk. The process does not run yet.
  static Result<std::unique_ptr<Process>> Open(Node* node, World* world, Network* network,
                                               Observer* observer, uint64_t incarnation,
                                               uint64_t nonce);
  ~Process() override;

  void Run();
  uint64_t incarnation() const { return incarnation_; }
  // True if the process has ended itself and waits for its removal.
  bool dead() const { return !*alive_; }

  // ---- Requests of clients. `done` is not called once the process is dead.
  void Propose(const state_machine::Command& command, SteadyTime timeout, node::CommandDone done);
  void ReadBarrier(const node::ReadOptions& options, SteadyTime timeout,
                   std::function<void(Result<LogIndex>)> done);
  void ChangeMembership(const node::Replica::MembershipChange& change, SteadyTime timeout,
                        std::function<void(Status)> done);
  void TransferLeadership(uint64_t node_id, SteadyTime timeout, std::function<void(Status)> done);
  void RaiseLevel(SteadyTime timeout, std::function<void(Result<uint64_t>)> done);
  void BeginShutdown(SteadyTime timeout, std::function<void()> done);
  // Does what the workers do when the process ends in good order: all queued work, and a
  // checkpoint.
  void FinishWork();

  const node::ReplicaCore& core() const { return *core_; }
  state_machine::StateMachine& state() { return *state_; }
  const log_store::LogStore& log() const { return *log_; }

  // ---- Endpoint
  std::shared_ptr<const transport::Identity> identity() const override { return identity_; }
  uint32_t protocol_version() const override { return node_->version().protocol; }
  void OnMessages(GroupId group, const raft::Boot& sender,
                  std::vector<raft::Message> messages) override;
  Status OnCaller(const transport::Identity& caller) override;
  void OnCallerLeft(const transport::Identity& caller) override;
  bool OnReached(MemberId member, const raft::Boot& boot) const override {
    return core_->callers()->MayReach(member, boot);
  }
  void OnRefused(MemberId by, const Status& why) override;
  void OnUnreachable(GroupId group, MemberId member) override;
  void OnPeerGone(MemberId member) override;
  transport::ProbeReply OnProbe() override { return core_->probe_reply(); }
  void OnJoin(const transport::JoinRequest& request,
              std::function<void(Result<transport::JoinReply>)> reply) override;
  bool OnSnapshotOffered(MemberId from, const raft::SnapshotMeta& meta) override;
  Status OnSnapshotReceived(MemberId from, const raft::SnapshotMeta& meta,
                            const std::string& path) override;
  FileSystem& snapshot_files() override { return node_->disk(); }
  const std::string& snapshot_directory() const override { return snapshot_directory_; }
  SteadyTime runs_at() const override { return node_->paused_until(); }

  // ---- ReplicaEffects
  void PersistLog(std::vector<raft::Persist> persists) override;
  void FetchLog(const raft::Fetch& fetch) override { PushLog(fetch); }
  void CompactLog(node::CompactionPoint point) override { PushLog(point); }
  void SaveIdentity(const node::IdentityRecord& record) override { PushLog(record); }
  void RememberCopy(const Status& why) override {
    PushLog(node::LogWorker::CopyNote{why.message()});
  }
  void Apply(node::ApplyJob job, bool urgent) override {
    if (!dead()) apply_tasks_.push_back(std::move(job));
    if (urgent) WakeApply();
  }
  void WakeApply() override {
    if (!dead()) ScheduleApply();
  }
  void Checkpoint() override { PushApply(node::ApplyWorker::CheckpointTask{}); }
  void ResumeApply(uint64_t stops) override { PushApply(node::ApplyWorker::ResumeTask{stops}); }
  void InstallSnapshot(const std::string& path, const raft::SnapshotMeta& meta) override {
    observer_->OnReplacing(node_->id(), meta.index);
    PushApply(node::ApplyWorker::InstallTask{path, meta});
  }
  void Fence(const Status& why) override {
    PushApply(node::ApplyWorker::FenceTask{why});
    observer_->OnFenced(node_->id(), why.message());
  }
  void RemoveFile(const std::string& path) override {
    PushApply(node::ApplyWorker::RemoveFileTask{path});
  }
  void Send(std::vector<raft::Message> messages) override;
  void StreamSnapshot(MemberId from, MemberId to, LogIndex index_min) override;
  void SetIdentity(const transport::Identity& identity) override;
  void SetPeers(const transport::Peers& peers) override { peers_ = peers; }
  void Probe(const std::string& address,
             std::function<void(Result<transport::ProbeReply>)> done) override;
  void Join(const std::string& address, const transport::JoinRequest& request,
            std::function<void(Result<transport::JoinReply>)> done) override;
  void OnCoreStarted(const raft::RaftCore& core) override;
  void OnCoreOutput(const raft::RaftCore& core, const raft::Output& output) override;
  void OnCoreRestored(const raft::RaftCore& core, LogIndex index) override;

  // ---- LogWorkerEvents: kept while the log worker works, until its news comes out
  void OnDurable(std::vector<raft::Message> send, std::vector<raft::AppendTicket> tickets) override;
  void OnFetched(raft::Fetched fetched) override;
  void OnIdentitySaved() override;
  void OnLogFull(const Status& status) override;
  void OnFreeBytes(uint64_t bytes) override;
  void OnLogFailed(const std::string& what, const Status& status) override;

  // ---- ApplyWorkerEvents, in the same way
  void OnApplied(const node::AppliedReport& report) override;
  void OnApplyStopped(const Status& status) override;
  void OnReopened(const state_machine::AppliedState& state,
                  const node::AppliedReport& report) override;
  void OnCheckpointed(LogIndex durable) override;
  void OnInstalled(const Status& status, const node::AppliedReport& report,
                   LogIndex durable) override;

  void OnScan(std::unique_ptr<state_machine::StateScan> scan) override;

  // ---- ScrubWorkerEvents, in the same way
  void OnDigest(LogIndex index, const state_machine::StateDigest& digest) override;
  void OnScrubbed(LogIndex index, const Status& found) override;

  // ---- Transport, for the snapshot worker
  void Send(GroupId, std::vector<raft::Message> messages) override { Send(std::move(messages)); }
  void SendSnapshot(GroupId group, MemberId from, MemberId to,
                    std::shared_ptr<transport::SnapshotSource> source,
                    std::function<void(Status)> done) override;
  void Probe(const std::string& address, SteadyTime timeout,
             std::function<void(Result<transport::ProbeReply>)> done) override;
  void Join(const std::string& address, const transport::JoinRequest& request, SteadyTime timeout,
            std::function<void(Result<transport::JoinReply>)> done) override;

 private:
  using CoreEvent = std::function<void(node::ReplicaCore&)>;
  using News = std::function<void()>;

  Process(Node* node, World* world, Network* network, Observer* observer, uint64_t incarnation);
  Status OpenFiles(uint64_t nonce);
  // Calls the method in a separate event, if this process is still alive then. If the process is
  // stopped then, the call waits until it resumes.
  void Schedule(SteadyTime delay, Kind kind, void (Process::*method)());
  static void RunWhenAwake(Node* node, World* world, uint64_t incarnation, Kind kind,
                           void (Process::*method)());

  // `wake` is false if the core may handle the event when something else wakes it.
  void Post(CoreEvent event, bool wake = true);
  void RunCore();
  void WakeCore();
  void FlushCore();
  void TickCore();
  void ScheduleTick();

  void PushLog(node::LogWorker::Task task);
  void ScheduleLog();
  void RunLog();
  void FinishLog();
  void IdleLog();
  SteadyTime DiskTime();

  void PushApply(node::ApplyWorker::Task task);
  void ScheduleApply();
  void RunApply();
  void FinishApply();
  void IdleApply();

  void Die(const std::string& why, bool may_be);
  // Returns true, and the process ends, if its machine has lost power. Also returns true if the
  // process is dead already.
  bool DieWithoutPower();

  Node* const node_;
  World* const world_;
  Network* const network_;
  Observer* const observer_;
  const uint64_t incarnation_;
  const std::string snapshot_directory_;
  Rng rng_;
  // Shared with callbacks that outlive the process, so that a dead process answers nobody.
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);

  std::unique_ptr<log_store::LogStore> log_;
  std::unique_ptr<state_machine::StateMachine> state_;
  std::shared_ptr<const transport::Identity> identity_;
  transport::Peers peers_;

  std::vector<CoreEvent> inbox_;
  bool wake_scheduled_ = false;
  bool flush_scheduled_ = false;
  std::unique_ptr<node::TickPacer> pacer_;

  std::unique_ptr<node::LogWorker> log_worker_;
  std::vector<node::LogWorker::Task> log_tasks_;
  std::vector<News> log_news_;
  bool log_busy_ = false;
  bool log_waits_ = false;    // for room on the disk
  bool log_was_idle_ = true;  // since the last look

  std::unique_ptr<node::ApplyWorker> apply_worker_;
  std::vector<node::ApplyWorker::Task> apply_tasks_;
  std::vector<News> apply_news_;
  bool apply_busy_ = false;

  std::unique_ptr<node::SnapshotWorker> snapshot_worker_;
  std::unique_ptr<node::ScrubWorker> scrub_worker_;
  std::unique_ptr<node::ReplicaCore> core_;
};

}  // namespace cairn::sim
