// For tests: a small state machine, and clusters of replicas in one process.
#pragma once

#include <atomic>
#include <condition_variable>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <shared_mutex>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/file_system.h"
#include "node/replica.h"
#include "state_machine/state_machine.h"
#include "testing/memory_log.h"
#include "testing/memory_transport.h"
#include "testing/sanitized.h"

namespace cairn::node {

// Appends the SQL text of every statement to a list, each command once however often its id comes.
// Crash loses what was not checkpointed.
class ListStateMachine : public state_machine::StateMachine {
 public:
  // A lock with which a test holds copies up. Outlives the state machine.
  struct Gate {
    std::mutex mutex;
    std::condition_variable opened;
    bool closed = false;
  };
  explicit ListStateMachine(std::string snapshot_directory)
      : snapshot_directory_(std::move(snapshot_directory)) {}

  std::vector<std::string> items() const;
  void Crash();
  void FailApply(Status status);
  void FailReopen(Status status);
  // The next `count` installs fail.
  void FailInstalls(int count, Status status = DataLoss("the snapshot is damaged")) {
    const std::lock_guard lock(mutex_);
    failing_installs_ = count;
    fail_install_ = std::move(status);
  }
  int failing_installs() const { return failing_installs_; }
  // The next `count` checks of a copy fail.
  void FailChecks(int count) { failing_checks_ = count; }
  int failing_checks() const { return failing_checks_; }
  // Drops what was not checkpointed, like a reopened file that lost its WAL.
  void LoseTailOnReopen() { lose_tail_ = true; }
  void BlockApply(bool block);
  // The contents are not what was applied, which the digests show.
  void Diverge();
  // The results are wrong, as those of another build of the engine might be.
  void Miscount(bool miscounts);
  // Each command returns a row of this many bytes.
  void ReturnBytes(size_t bytes) { returns_bytes_ = bytes; }
  // The scrubs find damage until a snapshot is installed, or a backup restored.
  void Damage() { damaged_ = true; }
  void SetNextDeadline(std::optional<uint64_t> lease_ms);
  int installs() const { return installs_; }
  // The number of copies made for peers, and a hold on reading them.
  int copies() const { return copies_; }
  void BlockCopies(bool block);
  std::vector<state_machine::BatchHeader> headers() const;

  state_machine::AppliedState applied_state() const override;
  LogIndex applied_index() const override { return applied_state().index; }
  LogIndex durable_index() const override;
  Status Apply(std::span<const raft::Entry> entries, const raft::Configuration& config,
               LogIndex config_index,
               const std::function<void(state_machine::EntryResults)>& on_results) override;
  Status CheckProposal(const state_machine::Command&) override { return OkStatus(); }
  std::optional<uint64_t> NextDeadlineLeaseMs() const override;
  Result<std::unique_ptr<state_machine::ReadView>> OpenReadView(SteadyTime) override {
    return Unimplemented("reads are not part of this test");
  }
  uint64_t WalBytes() const override { return 0; }
  Status Checkpoint() override;
  Status Reopen() override;
  int reopens() const { return reopens_; }
  std::unique_ptr<state_machine::StateScan> TakeScan() override;
  Result<std::unique_ptr<state_machine::StateScan>> BeginScan() override;
  Result<std::shared_ptr<state_machine::SnapshotReader>> OpenSnapshot(LogIndex index_min) override;
  Status CheckSnapshot(const std::string& path, const raft::SnapshotMeta& meta,
                       const std::function<bool()>& proceed) override;
  Status InstallSnapshot(const std::string& path, const raft::SnapshotMeta& meta) override;

 private:
  Status FileStatus() const;
  struct Image {
    state_machine::AppliedState applied;
    std::vector<std::string> items;
    std::set<state_machine::RequestId> done;
  };
  const std::string snapshot_directory_;
  mutable std::mutex mutex_;
  std::condition_variable unblocked_;
  Image image_;
  Image durable_;
  Status fail_;
  Status fail_reopen_;
  Status fail_install_;
  std::atomic<int> failing_installs_{0};
  std::atomic<int> failing_checks_{0};
  std::atomic<int> reopens_{0};
  std::atomic<size_t> returns_bytes_{0};
  std::atomic<bool> lose_tail_{false};
  std::atomic<bool> damaged_{false};
  std::unique_ptr<state_machine::StateScan> digest_scan_;
  bool blocked_ = false;
  bool miscounts_ = false;
  std::optional<uint64_t> next_deadline_;
  std::vector<state_machine::BatchHeader> headers_;
  std::atomic<int> installs_{0};
  std::atomic<int> copies_{0};
  std::optional<std::pair<raft::SnapshotMeta, std::string>> copy_;  // the last one, sent again
  const std::shared_ptr<Gate> gate_ = std::make_shared<Gate>();
};

// A log whose Sync can be held up, and whose Write can be refused for want of space.
class TestLog final : public log_store::LogStore {
 public:
  TestLog() : log_(log_store::NewMemoryLog()) {}
  void Crash() { log_->Crash(); }
  void BlockSync(bool block);
  void SetFull(bool full) { full_ = full; }
  LogIndex first() const;

  std::map<GroupId, log_store::GroupState> Groups() const override {
    std::lock_guard lock(store_mutex_);
    return log_->Groups();
  }
  Result<std::vector<raft::Entry>> LoadIndex(GroupId group) override {
    return log_->LoadIndex(group);
  }
  Status Write(const std::vector<log_store::GroupWrite>& writes) override;
  Status Sync() override;
  Result<std::vector<raft::Entry>> Read(GroupId group, LogIndex from, LogIndex to,
                                        size_t bytes_max) override {
    return log_->Read(group, from, to, bytes_max);
  }
  Status Compact(GroupId group, LogIndex index, Term term) override {
    std::lock_guard lock(store_mutex_);
    return log_->Compact(group, index, term);
  }
  Status SealIdle() override { return log_->SealIdle(); }
  uint64_t SizeBytes() const override { return log_->SizeBytes(); }

 private:
  std::unique_ptr<log_store::MemoryLog> log_;
  mutable std::mutex store_mutex_;  // the test reads while the log thread writes
  std::mutex mutex_;
  std::condition_variable unblocked_;
  bool blocked_ = false;
  std::atomic<bool> full_{false};
};

// The operating system's file system, with the free space that the test says.
class FreeSpaceFileSystem final : public FileSystem {
 public:
  void SetFreeBytes(uint64_t bytes) { free_bytes_ = bytes; }
  Result<std::unique_ptr<File>> Open(const std::string& path, bool create) override {
    return fs_.Open(path, create);
  }
  Result<bool> Exists(const std::string& path) override { return fs_.Exists(path); }
  Result<std::vector<std::string>> List(const std::string& d) override { return fs_.List(d); }
  Status CreateDirectories(const std::string& p) override { return fs_.CreateDirectories(p); }
  Status Rename(const std::string& from, const std::string& to) override {
    return fs_.Rename(from, to);
  }
  Status Remove(const std::string& path) override { return fs_.Remove(path); }
  Status SyncDirectory(const std::string& d) override { return fs_.SyncDirectory(d); }
  Result<uint64_t> FreeBytes(const std::string&) override { return free_bytes_.load(); }

 private:
  FileSystem& fs_ = PosixFileSystem();
  std::atomic<uint64_t> free_bytes_{uint64_t{1} << 40};
};

// Lets a replica be destroyed while its transport still delivers.
class HandlerSwitch final : public transport::Handler {
 public:
  void Set(transport::Handler* handler) {
    std::unique_lock lock(mutex_);
    handler_ = handler;
  }
  void OnMessages(GroupId group, const raft::Boot& sender,
                  std::vector<raft::Message> messages) override {
    std::shared_lock lock(mutex_);
    if (handler_) handler_->OnMessages(group, sender, std::move(messages));
  }
  Status OnCaller(const transport::Identity& caller) override {
    std::shared_lock lock(mutex_);
    return handler_ ? handler_->OnCaller(caller) : Unavailable("stopped");
  }
  void OnCallerLeft(const transport::Identity& caller) override {
    std::shared_lock lock(mutex_);
    if (handler_) handler_->OnCallerLeft(caller);
  }
  void OnRefused(MemberId by, const Status& why) override {
    std::shared_lock lock(mutex_);
    if (handler_) handler_->OnRefused(by, why);
  }
  void OnUnreachable(GroupId group, MemberId member) override {
    std::shared_lock lock(mutex_);
    if (handler_) handler_->OnUnreachable(group, member);
  }
  void OnPeerGone(GroupId group, MemberId member) override {
    std::shared_lock lock(mutex_);
    if (handler_) handler_->OnPeerGone(group, member);
  }
  transport::ProbeReply OnProbe() override {
    std::shared_lock lock(mutex_);
    return handler_ ? handler_->OnProbe() : transport::ProbeReply{};
  }
  void OnJoin(const transport::JoinRequest& request,
              std::function<void(Result<transport::JoinReply>)> reply) override {
    std::shared_lock lock(mutex_);
    if (handler_) return handler_->OnJoin(request, std::move(reply));
    reply(Unavailable("stopped"));
  }
  bool OnSnapshotOffered(GroupId group, MemberId from, const raft::SnapshotMeta& meta) override {
    std::shared_lock lock(mutex_);
    return handler_ && handler_->OnSnapshotOffered(group, from, meta);
  }
  Status OnSnapshotReceived(GroupId group, MemberId from, const raft::SnapshotMeta& meta,
                            const std::string& path,
                            const std::function<bool()>& proceed) override {
    std::shared_lock lock(mutex_);
    if (!handler_) return Unavailable("stopped");
    return handler_->OnSnapshotReceived(group, from, meta, path, proceed);
  }

 private:
  std::shared_mutex mutex_;
  transport::Handler* handler_ = nullptr;
};

// One node. What is on its disk outlives its replica.
struct TestNode {
  uint64_t id = 0;
  ReplicaOptions options;
  FreeSpaceFileSystem fs;
  std::unique_ptr<TestLog> log;
  std::unique_ptr<ListStateMachine> state;
  HandlerSwitch handler;
  std::unique_ptr<Replica> replica;
  std::unique_ptr<transport::Transport> transport;
};

class TestCluster {
 public:
  // Nodes 1..n that list each other (a single node lists nobody).
  explicit TestCluster(int n);
  ~TestCluster();

  TestNode& AddNode(uint64_t id, std::map<uint64_t, std::string> listed);
  TestNode& node(uint64_t id) { return *nodes_.at(id); }
  Replica& replica(uint64_t id) { return *nodes_.at(id)->replica; }
  transport::MemoryNetwork& network() { return *network_; }
  static std::string Address(uint64_t id) { return "node" + std::to_string(id); }

  Status Start(uint64_t id);
  void StartAll();
  // Like kill -9: no hand-over and no checkpoint; what was not synced is lost.
  void Kill(uint64_t id);
  void Stop(uint64_t id);  // cleanly
  void Wipe(uint64_t id);  // only a node that is not running
  void Isolate(uint64_t id, bool cut);

  // The node that leads and that a majority of the running nodes follow; waits for it.
  uint64_t AwaitLeader();
  // Proposes on a node and waits for the answer.
  Result<state_machine::CommandResult> Propose(
      uint64_t id, const std::string& text,
      std::chrono::milliseconds timeout = std::chrono::seconds(10)) {
    return Propose(id, NextId(), text, timeout);
  }
  Result<state_machine::CommandResult> Propose(
      uint64_t id, const state_machine::RequestId& request, const std::string& text,
      std::chrono::milliseconds timeout = std::chrono::seconds(10)) {
    return ProposeCommand(
        id, {.id = request, .operation = state_machine::Execute{{{text, {}, {}}}}}, timeout);
  }
  Result<state_machine::CommandResult> ProposeCommand(
      uint64_t id, state_machine::Command command,
      std::chrono::milliseconds timeout = std::chrono::seconds(10));
  // Proposes on whichever node leads until it is applied.
  LogIndex Write(const std::string& text);
  Result<LogIndex> Barrier(uint64_t id, ReadOptions options = {},
                           std::chrono::milliseconds timeout = std::chrono::seconds(10));
  Status Change(uint64_t leader, Replica::MembershipChange change,
                std::chrono::milliseconds timeout = std::chrono::seconds(20));
  Status Transfer(uint64_t leader, uint64_t to);

 private:
  state_machine::RequestId NextId() { return {"test", next_sequence_++}; }

  std::string directory_;
  std::unique_ptr<transport::MemoryNetwork> network_;
  std::map<uint64_t, std::unique_ptr<TestNode>> nodes_;
  uint64_t next_sequence_ = 1;
};

// Polls until `condition` holds; false after `timeout`.
bool Eventually(const std::function<bool()>& condition,
                std::chrono::milliseconds timeout = std::chrono::seconds(20));

}  // namespace cairn::node
