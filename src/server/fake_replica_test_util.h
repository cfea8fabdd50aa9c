// A replica and a state machine without Raft, log or SQLite, for tests of the layers above them.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "node/replica.h"
#include "state_machine/change_ring.h"

namespace cairn::server {

// Counts what it applies, once for each request id. Queries: "N" gives the integers 1 to N, "big"
// gives one text of 5 MiB, and "slow" gives rows until it is told to stop. A query reads the table
// after " FROM ". CheckProposal refuses texts that start with SELECT. Texts that start with FAIL are
// a replicated failure. Changes come into its ring by Commit alone.
class FakeState : public state_machine::StateMachine {
 public:
  state_machine::AppliedState applied_state() const override;
  LogIndex applied_index() const override;
  LogIndex durable_index() const override { return LogIndex(0); }
  Status Apply(std::span<const raft::Entry>, const raft::Configuration&, LogIndex,
               const std::function<void(state_machine::EntryResults)>&) override {
    return OkStatus();
  }
  Status CheckProposal(const state_machine::Command& command) override;
  std::optional<uint64_t> NextDeadlineLeaseMs() const override { return std::nullopt; }
  Result<std::unique_ptr<state_machine::ReadView>> OpenReadView(SteadyTime timeout) override;
  uint64_t WalBytes() const override { return 0; }
  Status Checkpoint() override { return OkStatus(); }
  Status Reopen() override { return OkStatus(); }
  Result<std::shared_ptr<state_machine::SnapshotReader>> OpenSnapshot(LogIndex) override {
    return Unimplemented("fake");
  }
  Status CheckSnapshot(const std::string&, const raft::SnapshotMeta&,
                       const std::function<bool()>&) override {
    return Unimplemented("fake");
  }
  Status InstallSnapshot(const std::string&, const raft::SnapshotMeta&) override {
    return Unimplemented("fake");
  }

  std::shared_ptr<state_machine::ChangeRing> changes() override { return ring_; }
  state_machine::ChangeRing& ring() { return *ring_; }
  // Commits an entry with the next index, whose commands made these changes. Gives each change its
  // position, and each command its end. A command without changes is left out.
  void Commit(std::vector<std::vector<state_machine::Change>> commands);
  // Queries that begin with this text give these rows from now on.
  void Answer(const std::string& sql, std::vector<Row> rows);

  state_machine::CommandResult ApplyOne(const state_machine::Command& command);

  void ForgetSessions();
  // Retries hear that the result is gone.
  void DropResults() { drops_results_ = true; }
  // Refusals of CheckProposal repeat the statement.
  void EchoRefusals(bool echo) { echo_refusals_ = echo; }
  // Like a state machine that falls back to the durable part of its file.
  void GoBackTo(uint64_t index);
  // How many times a statement's text was executed, without retries.
  int executions(const std::string& sql) const;
  std::vector<state_machine::Command> commands() const;
  int views_opened() const { return views_opened_; }
  int queries_ended() const { return queries_ended_; }

 private:
  mutable std::mutex mutex_;
  uint64_t index_ = 0;
  std::map<std::string, int> executions_;
  std::map<state_machine::RequestId, state_machine::CommandResult> done_;
  std::map<std::string, bool> sessions_;
  std::vector<state_machine::Command> commands_;
  const std::shared_ptr<state_machine::ChangeRing> ring_ =
      std::make_shared<state_machine::ChangeRing>(1 << 20, SystemClock());
  std::map<std::string, std::vector<Row>> answers_;
  std::map<std::string, int64_t> versions_;  // of tables: how many of their rows were changed
  std::atomic<int> views_opened_{0};
  std::atomic<int> queries_ended_{0};
  std::atomic<bool> echo_refusals_{false};
  std::atomic<bool> drops_results_{false};
};

// Leads unless told otherwise. Applies proposals in order, on a thread of its own.
class FakeReplica final : public node::Replica {
 public:
  // What becomes of the next proposals, in order. All later ones succeed.
  enum class Fate : uint8_t {
    kApply,
    kNotApplied,      // UNAVAILABLE, surely not applied
    kAppliedUnknown,  // applied, but the answer is UNAVAILABLE, unknown
    kLostUnknown,     // not applied, the answer is UNAVAILABLE, unknown
  };

  explicit FakeReplica(Clock* clock);
  ~FakeReplica() override;

  void SetLeader(bool leader, std::optional<LeaderHint> hint);
  void SetMembers(std::vector<std::string> addresses);
  void Script(std::vector<Fate> fates);
  // Holds the answers to read barriers back, or lets them go.
  void HoldBarriers(bool hold);
  int barriers() const { return barriers_; }
  int held_barriers() const;
  // Waits until everything that was asked so far has been answered.
  void AwaitIdle();

  void Start(transport::Transport*) override {}
  transport::Handler* handler() override { return nullptr; }
  void Propose(const state_machine::Command& command, SteadyTime deadline, node::CommandDone done,
               node::CallerGone gone) override;
  void OnCallersGone() override { ++callers_gone_; }
  int callers_gone() const { return callers_gone_; }
  void ReadBarrier(const node::ReadOptions& options, SteadyTime deadline,
                   std::function<void(Result<LogIndex>)> done) override;
  state_machine::StateMachine& state() override { return state_; }
  void AwaitLeader(SteadyTime deadline, std::function<void(Result<LeaderHint>)> done) override;
  void SetLeaderWatcher(std::function<void()> watcher) override { watcher_ = std::move(watcher); }
  std::optional<LeaderHint> leader_hint() const override;
  bool is_leader() const override { return leader_; }
  node::ReplicaStatus status() const override;
  SteadyTime last_turn() const override { return clock_->SteadyNow() - turned_ago_.load(); }
  // The core thread has not turned for so long.
  void SetTurnedAgo(SteadyTime ago) { turned_ago_ = ago; }
  void ChangeMembership(MembershipChange change, SteadyTime deadline,
                        std::function<void(const std::string&)> progress,
                        std::function<void(Status)> done) override;
  void TransferLeadership(uint64_t node_id, SteadyTime deadline,
                          std::function<void(Status)> done) override;
  void RaiseLevel(SteadyTime deadline, std::function<void(Result<uint64_t>)> done) override;
  bool compares_results() const override { return compares_; }
  // Members run different builds. Until they agree, stale reads of an index wait.
  void Compare(bool compares) { compares_ = compares; }
  void SetAge(std::optional<SteadyTime> age) {
    std::lock_guard lock(mutex_);
    age_ = age;
  }
  void Shutdown(SteadyTime timeout) override;

  FakeState& fake_state() { return state_; }

 private:
  struct Waiter {
    SteadyTime deadline;
    std::function<void(Result<LeaderHint>)> done;
  };
  struct Barrier {
    SteadyTime deadline;
    std::function<void(Result<LogIndex>)> done;
  };
  void Run();
  void Post(std::function<void()> task);

  Clock* const clock_;
  FakeState state_;
  std::function<void()> watcher_;
  std::atomic<bool> leader_{true};
  std::atomic<int> barriers_{0};
  std::atomic<int> callers_gone_{0};
  std::atomic<bool> compares_{false};
  std::atomic<SteadyTime> turned_ago_{SteadyTime(0)};
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<LeaderHint> hint_;
  raft::Configuration config_;
  std::optional<SteadyTime> age_;
  std::vector<Fate> fates_;
  std::vector<std::function<void()>> tasks_;
  std::vector<Waiter> waiters_;
  std::vector<Barrier> held_;
  bool hold_barriers_ = false;
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace cairn::server
