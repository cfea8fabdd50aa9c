// For tests: a ReplicaCore without threads. Events go in and effects come out by hand, and time, too.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/rng.h"
#include "node/replica_core.h"
#include "node/replica_effects.h"
#include "state_machine/command.h"

namespace cairn::node {

// Holds what the core asked for until the test lets it happen.
class HeldEffects final : public ReplicaEffects {
 public:
  void PersistLog(std::vector<raft::Persist> batches) override {
    for (raft::Persist& p : batches) persists.push_back(std::move(p));
  }
  void FetchLog(const raft::Fetch& fetch) override { fetches.push_back(fetch); }
  void CompactLog(CompactionPoint) override {}
  void SaveIdentity(const IdentityRecord& record) override { identities.push_back(record); }
  void Apply(ApplyJob job, bool urgent) override {
    quiet_applies.push_back(std::move(job));
    if (urgent) WakeApply();
  }
  void WakeApply() override {
    std::move(quiet_applies.begin(), quiet_applies.end(), std::back_inserter(applies));
    quiet_applies.clear();
  }
  void Checkpoint() override {}
  void Fence(const Status& why) override { fences.push_back(why); }
  void ResumeApply(uint64_t stops) override { resumed.push_back(stops); }
  void InstallSnapshot(const std::string& path, const raft::SnapshotMeta&) override {
    installs.push_back(path);
  }
  void RemoveFile(const std::string& path) override { removed.push_back(path); }
  void Send(std::vector<raft::Message> messages) override {
    for (raft::Message& m : messages) sent.push_back(std::move(m));
  }
  void StreamSnapshot(MemberId, MemberId, LogIndex) override { ++streams; }
  void SetIdentity(const transport::Identity&) override {
    if (on_identity) on_identity();
  }
  void SetPeers(const transport::Peers& all) override { peers = all; }
  void RememberCopy(const Status& why) override { copies.push_back(why); }
  void Probe(const std::string&, std::function<void(Result<transport::ProbeReply>)> done) override {
    probes.push_back(std::move(done));
  }
  void Join(const std::string&, const transport::JoinRequest&,
            std::function<void(Result<transport::JoinReply>)>) override {}

  std::vector<raft::Persist> persists;
  std::vector<raft::Fetch> fetches;
  std::vector<IdentityRecord> identities;
  std::vector<ApplyJob> applies;
  std::vector<ApplyJob> quiet_applies;  // jobs that wait for WakeApply
  std::vector<std::function<void(Result<transport::ProbeReply>)>> probes;
  std::vector<uint64_t> resumed;
  std::vector<Status> fences;
  std::vector<std::string> installs;
  int streams = 0;  // snapshots that were to be sent
  std::vector<std::string> removed;
  transport::Peers peers;
  std::vector<Status> copies;
  std::vector<raft::Message> sent;
  std::function<void()> on_identity;
};

class ReplicaCoreTest : public ::testing::Test {
 protected:
  // The cluster is not new: commands have been applied.
  ReplicaCoreTest() { report_.wall_ms = 1; }
  // Starts a node that takes part already, with these voters.
  void StartMember(const std::set<uint64_t>& voters, raft::InitialState raft = {}) {
    StartState start;
    start.raft = std::move(raft);
    start.identity.node_id = options_.node_id;
    start.identity.nonce = 1;
    start.identity.stage = transport::LifeStage::kStarted;
    start.identity.cluster_id = 9;
    start.identity.member = MemberId(1);
    raft::Configuration& config = start.identity.config;
    for (const uint64_t id : voters) {
      config.voters.insert(MemberId(id));
      config.info[MemberId(id)] = {id, "node" + std::to_string(id), id};
      config.next_member_id = id + 1;
    }
    core_ = std::make_unique<ReplicaCore>(options_, std::move(start), &clock_, &rng_, &effects_);
    core_->Start();
    core_->Flush();
  }
  void Tick(int n = 1) {
    for (int i = 0; i < n; ++i) {
      clock_.Advance(options_.tick);
      core_->OnTick(1);
      core_->Flush();
    }
  }
  // The disk finishes all that it was given.
  void Sync() {
    for (const raft::Persist& p : std::exchange(effects_.persists, {})) {
      core_->OnPersisted(p.ticket);
    }
    core_->Flush();
  }
  // The state machine finishes all that it was given.
  void ApplyAll() {
    for (ApplyJob& job : std::exchange(effects_.applies, {})) {
      for (const raft::Entry& entry : job.batch.entries) {
        report_.index = entry.index;
        report_.term = entry.term;
        if (entry.type != raft::EntryType::kNormal) continue;
        const auto batch = state_machine::DecodeBatch(*entry.payload);
        ASSERT_TRUE(batch.ok());
        headers_.push_back(batch->header);
        commands_ += batch->commands.size();
        report_.lease_ms = batch->header.lease_ms;
        report_.wall_ms = std::max(report_.wall_ms, batch->header.wall_ms);
      }
      for (EntryWaiters& waiters : job.waiters) {
        for (PendingCommandPtr& c : waiters.commands) c->Finish(state_machine::CommandResult{});
      }
      core_->OnApplied(report_);
    }
    core_->Flush();
  }
  void Settle() {
    for (int i = 0; i < 5; ++i) {
      Sync();
      ApplyAll();
    }
  }
  void Lead() {
    StartMember({1});
    for (int i = 0; i < 100 && !core_->is_leader(); ++i) {
      Tick();
      Sync();
    }
    ASSERT_TRUE(core_->is_leader());
    Settle();
    // The founding configuration goes into the log with the next tick.
    Tick();
    Settle();
  }
  // The node has no leader, asks a peer whether it was removed, and gets this configuration.
  void Ask(const std::set<uint64_t>& voters, uint64_t next, uint64_t index, uint64_t cluster = 9) {
    effects_.probes.clear();
    for (int i = 0; i < 2000 && effects_.probes.empty(); ++i) Tick();
    ASSERT_EQ(effects_.probes.size(), 1u) << "one peer at a time";
    transport::ProbeReply reply;
    reply.identity.cluster_id = cluster;
    reply.stage = transport::LifeStage::kStarted;
    reply.config_index = LogIndex(index);
    reply.config.next_member_id = next;
    for (const uint64_t id : voters) {
      reply.config.voters.insert(MemberId(id));
      reply.config.info[MemberId(id)] = {id, "node" + std::to_string(id), id};
    }
    effects_.probes[0](reply);
    core_->Flush();
  }
  // The other member agrees to all that it was sent since the last call.
  void AnswerAsMember2() {
    std::vector<raft::Message> replies;
    for (const raft::Message& m : std::exchange(effects_.sent, {})) {
      raft::Message reply{m.to, m.from, m.term, raft::HeartbeatReply{}};
      if (std::holds_alternative<raft::PreVoteRequest>(m.body)) {
        reply.body = raft::PreVoteReply{true};
      } else if (std::holds_alternative<raft::VoteRequest>(m.body)) {
        reply.body = raft::VoteReply{true};
      } else if (const auto* append = std::get_if<raft::AppendRequest>(&m.body)) {
        reply.body = raft::AppendReply{true, append->prev_index + append->entries.size(),
                                       LogIndex(), Term()};
      }
      if (const auto* heartbeat = std::get_if<raft::Heartbeat>(&m.body)) {
        reply.body = raft::HeartbeatReply{heartbeat->read_id};
      }
      replies.push_back(std::move(reply));
    }
    core_->OnMessages(boot_of_2_, std::move(replies));
    core_->Flush();
  }
  // A process of the member connects.
  void SayHello(uint64_t member, const raft::Boot& boot, const std::string& address) {
    transport::Identity caller;
    caller.member = MemberId(member);
    caller.node_id = member;
    caller.address = address;
    caller.start.boot = boot;
    ASSERT_TRUE(core_->callers()->Admit(caller, clock_.SteadyNow()).ok());
    if (member == 2) boot_of_2_ = boot;
    core_->OnCaller(MemberId(member), caller.engine.build);
    core_->Flush();
  }
  void LeadWithMember2() {
    StartMember({1, 2});
    for (int i = 0; i < 100 && !core_->is_leader(); ++i) {
      Tick();
      SendAfterSync();
      AnswerAsMember2();
    }
    ASSERT_TRUE(core_->is_leader());
    for (int i = 0; i < 20; ++i) {
      Tick();
      SendAfterSync();
      AnswerAsMember2();
      ApplyAll();
    }
  }
  void SendAfterSync() {
    for (const raft::Persist& p : effects_.persists) {
      for (const raft::Message& m : p.send_after) effects_.sent.push_back(m);
    }
    Sync();
  }
  LogIndex CommitTold() {
    LogIndex told;
    for (const raft::Message& m : effects_.sent) {
      if (const auto* append = std::get_if<raft::AppendRequest>(&m.body)) told = append->commit;
      if (const auto* heartbeat = std::get_if<raft::Heartbeat>(&m.body)) told = heartbeat->commit;
    }
    return told;
  }
  std::shared_ptr<Status> Propose(SteadyTime timeout = std::chrono::seconds(10)) {
    auto outcome = std::make_shared<Status>(StatusCode::kUnknown, "pending");
    state_machine::Command command;
    command.id = {"s", ++sequence_};
    command.operation = state_machine::OpenSession{};
    core_->Propose(std::make_shared<PendingCommand>(
        state_machine::EncodeCommand(command), clock_.SteadyNow() + timeout,
        [outcome](const Result<state_machine::CommandResult>& r) { *outcome = r.status(); }));
    return outcome;
  }

  std::shared_ptr<Status> Propose(const state_machine::Command& command) {
    auto outcome = std::make_shared<Status>(StatusCode::kUnknown, "pending");
    core_->Propose(std::make_shared<PendingCommand>(
        state_machine::EncodeCommand(command), clock_.SteadyNow() + std::chrono::seconds(10),
        [outcome](const Result<state_machine::CommandResult>& r) { *outcome = r.status(); },
        TraitsOf(command)));
    core_->Flush();
    return outcome;
  }
  // How many commands the state machine has been given and not yet applied.
  size_t CommandsToApply() {
    Sync();
    Sync();
    size_t commands = 0;
    for (const ApplyJob& job : effects_.applies) {
      for (const EntryWaiters& waiters : job.waiters) commands += waiters.commands.size();
    }
    return commands;
  }

  ReplicaOptions options_;
  ManualClock clock_;
  Rng rng_{42};
  HeldEffects effects_;
  std::unique_ptr<ReplicaCore> core_;
  AppliedReport report_;
  std::vector<state_machine::BatchHeader> headers_;
  size_t commands_ = 0;
  uint64_t sequence_ = 0;
  raft::Boot boot_of_2_;
};

}  // namespace cairn::node
