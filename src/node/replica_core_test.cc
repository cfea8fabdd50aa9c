// ReplicaCore without threads: events in, effects out, time by hand.
#include "node/replica_core.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "node/replica_core_test_util.h"
#include "raft/configuration_codec.h"

namespace cairn::node {
namespace {

using state_machine::CommandResult;

TEST_F(ReplicaCoreTest, CommandsThatComeWhileTheDiskWorksShareOneEntry) {
  Lead();
  const auto first = Propose();
  core_->Flush();
  ASSERT_EQ(effects_.persists.size(), 1u);
  std::vector<std::shared_ptr<Status>> rest;
  for (int i = 0; i < 20; ++i) {
    rest.push_back(Propose());
    core_->Flush();
  }
  EXPECT_EQ(effects_.persists.size(), 1u) << "they gather while the first is on its way";
  Sync();
  EXPECT_EQ(effects_.persists.size(), 1u);
  EXPECT_EQ(effects_.persists[0].entries.size(), 1u);
  Settle();
  EXPECT_TRUE(first->ok());
  for (const auto& status : rest) EXPECT_TRUE(status->ok());
  EXPECT_EQ(headers_.size(), 2u);
  EXPECT_EQ(commands_, 21u);
}

state_machine::Command Write(const std::string& session, const std::string& sql) {
  state_machine::Command command;
  command.id = {session, 1};
  command.operation = state_machine::Execute{{{sql, {}, {}}}};
  return command;
}

// Otherwise lawful heavy commands in a loop would stop the writers behind them.
TEST_F(ReplicaCoreTest, HeavyCommandsGoOneAtATimeAndTheOthersBetweenThem) {
  Lead();
  const state_machine::Command heavy = Write("a", "DELETE FROM t WHERE x < 5");
  AppliedReport learned = report_;
  learned.costs = {{TraitsOf(heavy), options_.request_steps_max / 2}};
  core_->OnApplied(learned);
  std::vector<std::shared_ptr<Status>> outcomes;
  for (int i = 0; i < 3; ++i) outcomes.push_back(Propose(heavy));
  EXPECT_EQ(CommandsToApply(), 1u) << "the others wait until it is applied";
  // Heavy by its text, whichever client sends it and whichever number it has.
  outcomes.push_back(Propose(Write("b", "DELETE FROM t WHERE x < 77")));
  outcomes.push_back(Propose(Write("c", "INSERT INTO t VALUES(1)")));
  EXPECT_EQ(CommandsToApply(), 2u) << "a light one is not held back";
  EXPECT_EQ(outcomes.back()->message(), "pending");
  EXPECT_TRUE(core_->awaits_applied());
  ApplyAll();
  EXPECT_TRUE(outcomes.back()->ok());
  EXPECT_TRUE(outcomes[0]->ok());
  EXPECT_EQ(CommandsToApply(), 1u);
  ApplyAll();
  EXPECT_TRUE(outcomes[3]->ok() || outcomes[1]->ok());
  Settle();
  Settle();
  for (const auto& outcome : outcomes) EXPECT_TRUE(outcome->ok()) << *outcome;
  EXPECT_FALSE(core_->awaits_applied());
}

TEST_F(ReplicaCoreTest, ASecondRequestOfMaintenanceIsRefusedWhileOneIsUnderWay) {
  Lead();
  state_machine::Command command = Write("a", "CREATE INDEX i ON t(x)");
  std::get<state_machine::Execute>(command.operation).maintenance = true;
  const auto first = Propose(command);
  const auto second = Propose(command);
  EXPECT_EQ(second->code(), StatusCode::kResourceExhausted) << *second;
  EXPECT_EQ(second->outcome(), Outcome::kNotApplied);
  EXPECT_EQ(CommandsToApply(), 1u);
  EXPECT_EQ(Propose(command)->code(), StatusCode::kResourceExhausted) << "it is not applied yet";
  Settle();
  EXPECT_TRUE(first->ok()) << *first;
  EXPECT_GT(headers_.back().maintenance_steps_max, headers_.back().command_steps_max);
  const auto third = Propose(command);
  Settle();
  EXPECT_TRUE(third->ok()) << *third;
}

// Separate messages and wake-ups for every commit would cost as much as the write itself.
TEST_F(ReplicaCoreTest, TheNewsOfACommitTravelsWithTheNextAppendOrSoonAlone) {
  LeadWithMember2();
  const auto first = Propose();
  core_->Flush();
  Sync();
  AnswerAsMember2();
  ApplyAll();
  ASSERT_TRUE(first->ok());
  EXPECT_TRUE(effects_.sent.empty()) << "another write may come at once";
  Propose();
  core_->Flush();
  const LogIndex committed = core_->status().core.commit;
  EXPECT_EQ(CommitTold(), committed) << "and has carried it";
  Sync();
  AnswerAsMember2();
  ASSERT_TRUE(effects_.sent.empty());
  const SteadyTime due = core_->NextFlush();
  ASSERT_GT(due, clock_.SteadyNow());
  ASSERT_LT(due, clock_.SteadyNow() + options_.tick);
  clock_.Advance(due - clock_.SteadyNow());
  core_->Flush();
  EXPECT_EQ(CommitTold(), committed + 1) << "nobody came";
  EXPECT_EQ(core_->NextFlush(), SteadyTime::max());
}

// A leader was deposed while its batcher gathered, and is elected again. Until it knows its lease
// clock it can propose nothing, and would spin if it asked for the end of that gathering.
TEST_F(ReplicaCoreTest, ALeaderThatDoesNotKnowItsLeaseYetDoesNotSpin) {
  LeadWithMember2();
  Propose();
  core_->Flush();
  Sync();
  AnswerAsMember2();
  ApplyAll();
  Tick(static_cast<int>(3 * options_.election_ticks));
  ASSERT_FALSE(core_->is_leader());
  effects_.sent.clear();
  for (int i = 0; i < 100 && !core_->is_leader(); ++i) {
    Tick();
    SendAfterSync();
    AnswerAsMember2();
  }
  ASSERT_TRUE(core_->is_leader());
  const auto waits = Propose();
  core_->Flush();
  ASSERT_EQ(waits->message(), "pending");
  EXPECT_GT(core_->NextFlush(), clock_.SteadyNow());
}

TEST_F(ReplicaCoreTest, NewsOfTheWorkersIsAwaitedOnlyByThoseWhoCanDoSomethingWithIt) {
  LeadWithMember2();
  EXPECT_TRUE(core_->awaits_persisted()) << "its own disk counts for the majority";
  EXPECT_FALSE(core_->awaits_applied());
  Propose();
  core_->Flush();
  Sync();
  AnswerAsMember2();
  bool granted = false;
  core_->ReadBarrier({}, clock_.SteadyNow() + std::chrono::seconds(1),
                     [&](const Result<LogIndex>& r) { granted = r.ok(); });
  core_->Flush();
  AnswerAsMember2();
  EXPECT_TRUE(core_->awaits_applied()) << "a read waits for it";
  ApplyAll();
  EXPECT_TRUE(granted);
  EXPECT_FALSE(core_->awaits_applied());
}

TEST_F(ReplicaCoreTest, LateNewsOfASnapshotThatWasNotSentDoesNotKeepTheNextOneBack) {
  ReplicaContext context{options_, &clock_, &rng_, &effects_};
  raft::Options raft;
  raft.self = context.self = MemberId(1);
  context.raft = std::make_unique<raft::RaftCore>(raft, raft::InitialState(), &rng_);
  SnapshotSends sends(&context);
  sends.Start(MemberId(2), LogIndex(5));
  sends.Start(MemberId(2), LogIndex(5));
  EXPECT_EQ(effects_.streams, 1) << "it runs already";
  sends.OnSent(MemberId(2), Unavailable("the connection broke"), LogIndex());
  sends.OnProgress(MemberId(2), LogIndex(5), 100);
  sends.Start(MemberId(2), LogIndex(5));
  EXPECT_EQ(effects_.streams, 2);
}

TEST_F(ReplicaCoreTest, TheLeaseClockFollowsTheSteadyClockWhateverTheWallClockDoes) {
  Lead();
  Propose();
  Settle();
  core_->Flush();
  Settle();
  clock_.Advance(std::chrono::milliseconds(1500));
  clock_.SetWallMs(5);  // 1970
  Propose();
  core_->Flush();
  Settle();
  ASSERT_EQ(headers_.size(), 2u);
  EXPECT_EQ(headers_[1].lease_ms - headers_[0].lease_ms, 1500u);
  EXPECT_EQ(headers_[1].wall_ms - headers_[0].wall_ms, 1500) << "nor does the time go back";
  EXPECT_NE(core_->status().digests.doubt.find("behind the latest time in the log"),
            std::string::npos);
  clock_.SetWallMs(headers_[1].wall_ms + 10);
  EXPECT_EQ(core_->status().digests.doubt, "");
}

// A hub without a battery for its clock boots in 1970, and is elected.
TEST_F(ReplicaCoreTest, ALeaderWhoseClockIsBehindTheLogGoesOnFromTheLogsTime) {
  constexpr int64_t kLatest = 1'700'000'000'000;
  report_.wall_ms = kLatest;
  clock_.SetWallMs(7'000);
  Lead();
  Propose();
  Settle();
  core_->Flush();
  Settle();
  ASSERT_EQ(headers_.size(), 1u);
  EXPECT_GE(headers_[0].wall_ms, kLatest);
  EXPECT_LT(headers_[0].wall_ms, kLatest + 60'000);
  const std::string doubt = core_->status().digests.doubt;
  EXPECT_NE(doubt.find("1699999"), std::string::npos) << doubt;
  EXPECT_NE(doubt.find("s behind the latest time in the log"), std::string::npos) << doubt;
}

TEST_F(ReplicaCoreTest, ADuePreparedTransactionMakesTheLeaderProposeTheExpiryOnce) {
  Lead();
  report_.next_deadline_lease_ms = report_.lease_ms + 100;
  Propose();
  core_->Flush();
  Settle();
  ASSERT_EQ(commands_, 1u);
  Tick(5);
  Settle();
  EXPECT_EQ(commands_, 1u) << "not yet due";
  Tick(20);
  Settle();
  EXPECT_EQ(commands_, 2u);
}

TEST_F(ReplicaCoreTest, ACommandStillQueuedAtItsDeadlineIsNotApplied) {
  Lead();
  Propose();
  core_->Flush();  // on its way to the disk
  const auto queued = Propose(std::chrono::milliseconds(15));
  core_->Flush();
  Tick(2);
  EXPECT_EQ(queued->code(), StatusCode::kDeadlineExceeded);
  EXPECT_EQ(queued->outcome(), Outcome::kNotApplied);
  Settle();
  EXPECT_EQ(commands_, 1u);
}

// A command of maintenance kept apply busy for 22 s, and a write with a timeout of 1 s got its
// answer after it.
TEST_F(ReplicaCoreTest, AWriteThatWaitsForApplyIsAnsweredAtItsDeadline) {
  Lead();
  const auto outcome = Propose(std::chrono::seconds(1));
  core_->Flush();
  EXPECT_EQ(CommandsToApply(), 1U);
  for (int i = 0; i < 50; ++i) Tick();
  EXPECT_EQ(outcome->message(), "pending");
  for (int i = 0; i < 60; ++i) Tick();
  EXPECT_EQ(outcome->code(), StatusCode::kDeadlineExceeded) << *outcome;
  EXPECT_EQ(outcome->outcome(), Outcome::kUnknown);
  ApplyAll();
}

TEST_F(ReplicaCoreTest, NothingIsAppliedBeforeItIsOnTheLocalDisk) {
  Lead();
  const auto proposed = Propose();
  core_->Flush();
  EXPECT_TRUE(effects_.applies.empty());
  Sync();
  EXPECT_EQ(effects_.applies.size(), 1u);
}

TEST_F(ReplicaCoreTest, AStalledDiskEndsLeadershipAndNoCampaignFollowsWhileItLasts) {
  Lead();
  const auto proposed = Propose();
  core_->Flush();
  Tick(110);
  EXPECT_FALSE(core_->is_leader());
  Tick(500);
  EXPECT_FALSE(core_->is_leader());
  EXPECT_EQ(proposed->code(), StatusCode::kUnknown) << "undecided until the disk answers";
  Sync();
  for (int i = 0; i < 300 && !core_->is_leader(); ++i) {
    Tick();
    Sync();
  }
  EXPECT_TRUE(core_->is_leader());
  Settle();
  EXPECT_TRUE(proposed->ok()) << *proposed;
}

// The node is elected and must read the entries before its own term from its log to apply them. The
// disk hangs in that read. Clients wait for the lease clock, so there is no write that could stall.
TEST_F(ReplicaCoreTest, ADiskThatHangsInAReadOfTheLogEndsLeadershipToo) {
  raft::InitialState state;
  state.hard_state.term = Term(1);
  const auto payload = std::make_shared<const std::string>([] {
    std::string batch;
    state_machine::EncodeBatch(state_machine::BatchHeader{}, {}, &batch);
    return batch;
  }());
  raft::Entry entry{Term(1), LogIndex(1), raft::EntryType::kNormal, nullptr};
  state.log.push_back(entry);
  StartMember({1}, state);
  for (int i = 0; i < 100 && effects_.fetches.empty(); ++i) {
    Tick();
    Sync();
  }
  ASSERT_EQ(effects_.fetches.size(), 1u);
  ASSERT_TRUE(core_->is_leader());
  const auto proposed = Propose();
  Tick(110);
  EXPECT_FALSE(core_->is_leader());
  EXPECT_EQ(proposed->outcome(), Outcome::kNotApplied) << *proposed;
  entry.payload = payload;
  core_->OnFetched({effects_.fetches[0].fetch_id, {entry}});
  core_->Flush();
  for (int i = 0; i < 300 && !core_->is_leader(); ++i) {
    Tick();
    Settle();
  }
  EXPECT_TRUE(core_->is_leader());
  const auto again = Propose();
  Tick();
  Settle();
  EXPECT_TRUE(again->ok()) << *again;
}

TEST_F(ReplicaCoreTest, ANodeThatIsNotLetInIsToldTheCommandToType) {
  Lead();
  Status told = OkStatus();
  const auto join = [&](uint64_t id, const std::string& address) {
    transport::JoinRequest request;
    request.node_id = id;
    request.nonce = 77;
    request.address = address;
    core_->Join(request,
                [&told](const Result<transport::JoinReply>& reply) { told = reply.status(); });
    core_->Flush();
    return told.message();
  };
  EXPECT_EQ(join(4, "node4"), "node 4 is not a member; run: cairn member add ADDR 4 node4");
  EXPECT_EQ(
      join(1, "node9"),
      "node 1 is a member at another address (node1); run: cairn member replace ADDR 1 node9");
}

// Each read that is given up must be forgotten together with the round that it was to be in.
TEST_F(ReplicaCoreTest, ReadsWithoutALeaderAreUnavailableHoweverManyThereWere) {
  StartMember({1, 2, 3});
  std::map<StatusCode, int> answers;
  for (int i = 0; i < 70'000; ++i) {
    core_->ReadBarrier({}, clock_.SteadyNow(),
                       [&](const Result<LogIndex>& index) { ++answers[index.status().code()]; });
    core_->Flush();
    if (i % 100 == 0) Tick();
    effects_.sent.clear();
    effects_.persists.clear();
  }
  Tick();
  EXPECT_EQ(answers, (std::map<StatusCode, int>{{StatusCode::kUnavailable, 70'000}}));
}

TEST_F(ReplicaCoreTest, ALeaderWhoseProcessIsGoneIsReplacedWellWithinTheElectionTimeout) {
  StartMember({1, 2, 3});
  core_->OnMessages({}, {{MemberId(2), MemberId(1), Term(1), raft::Heartbeat{}}});
  core_->Flush();
  ASSERT_TRUE(core_->leader_hint().has_value());
  const uint64_t known = core_->version();
  core_->OnPeerGone(MemberId(2));
  Tick(static_cast<int>(options_.heartbeat_ticks));
  EXPECT_FALSE(core_->leader_hint().has_value());
  EXPECT_GT(core_->version(), known) << "those who wait for a leader are told";
  effects_.sent.clear();
  Tick(static_cast<int>(options_.election_ticks / 2 + 1));
  ASSERT_FALSE(effects_.sent.empty());
  EXPECT_TRUE(std::holds_alternative<raft::PreVoteRequest>(effects_.sent[0].body));
}

// SQLite's transactions are expensive. On a follower only reads wait for them.
TEST_F(ReplicaCoreTest, AFollowerAppliesInStepsUntilSomebodyWaits) {
  StartMember({1, 2, 3});
  LogIndex last;
  // Appends an entry, with the news that all entries before it are committed.
  const auto append = [&] {
    raft::AppendRequest request{last, last.is_none() ? Term() : Term(3), last, {}};
    request.entries.push_back(
        {Term(3), ++last, raft::EntryType::kNoop, std::make_shared<const std::string>()});
    core_->OnMessages({}, {raft::Message{MemberId(2), MemberId(1), Term(3), std::move(request)}});
    core_->Flush();
    Sync();
  };
  append();
  append();
  const SteadyTime due = core_->NextFlush();
  append();
  EXPECT_FALSE(effects_.quiet_applies.empty());
  EXPECT_TRUE(effects_.applies.empty());
  EXPECT_EQ(core_->NextFlush(), due) << "the first of them does not wait longer for the others";
  ASSERT_LE(due, clock_.SteadyNow() + std::chrono::milliseconds(5));
  clock_.Advance(due - clock_.SteadyNow());
  core_->Flush();
  EXPECT_TRUE(effects_.quiet_applies.empty());
  EXPECT_FALSE(effects_.applies.empty());
  EXPECT_EQ(core_->NextFlush(), SteadyTime::max());

  append();
  ASSERT_FALSE(effects_.quiet_applies.empty());
  ReadOptions own_write;
  own_write.level = ReadLevel::kStale;
  own_write.index_min = last;  // not yet committed here
  bool read = false;
  core_->ReadBarrier(own_write, clock_.SteadyNow() + std::chrono::seconds(1),
                     [&](const Result<LogIndex>& r) { read = r.ok(); });
  core_->Flush();
  EXPECT_TRUE(effects_.quiet_applies.empty()) << "a read waits for what was put off";
  append();
  EXPECT_TRUE(effects_.quiet_applies.empty()) << "and for its own entry";
  ApplyAll();
  EXPECT_TRUE(read);
}

TEST_F(ReplicaCoreTest, APauseOfTheProcessIsNotBlamedOnTheDisk) {
  Lead();
  const auto outcome = Propose();
  core_->Flush();
  ASSERT_FALSE(effects_.persists.empty());
  clock_.Advance(std::chrono::seconds(5));  // SIGSTOP, in the middle of the sync
  core_->OnTick(1);
  core_->Flush();
  EXPECT_TRUE(core_->is_leader());
  // A disk that hangs while the process runs is blamed.
  Tick(200);
  EXPECT_FALSE(core_->is_leader());
}

TEST_F(ReplicaCoreTest, TheFileOfASnapshotIsInstalledBeforeTheLogIsReset) {
  StartMember({1, 2, 3});
  raft::SnapshotMeta meta;
  meta.index = LogIndex(50);
  meta.term = Term(3);
  for (const uint64_t id : {1, 2, 3}) {
    meta.config.voters.insert(MemberId(id));
    meta.config.info[MemberId(id)] = {id, "node" + std::to_string(id), id};
  }
  meta.config.next_member_id = 4;
  meta.config_index = LogIndex(2);
  core_->OnMessages({}, {raft::Message{MemberId(2), MemberId(1), Term(3), raft::Heartbeat{}}});
  core_->Flush();
  core_->OnSnapshotReceived(MemberId(2), meta, "/file");
  core_->Flush();
  // The leader's term is on its way to the disk, and the install waits for it.
  EXPECT_TRUE(effects_.installs.empty());
  EXPECT_EQ(effects_.persists.size(), 1u);
  Sync();
  ASSERT_EQ(effects_.installs, std::vector<std::string>{"/file"});
  for (const raft::Persist& p : effects_.persists) EXPECT_FALSE(p.reset_to);
  report_.index = LogIndex(50);
  report_.term = Term(3);
  core_->OnInstalled(OkStatus(), report_, LogIndex(50));
  core_->Flush();
  ASSERT_FALSE(effects_.persists.empty());
  EXPECT_TRUE(effects_.persists[0].reset_to);
  Sync();
  EXPECT_EQ(core_->status().core.last, LogIndex(50));
  // A second copy of a snapshot that is here already is thrown away.
  core_->OnSnapshotReceived(MemberId(2), meta, "/again");
  core_->Flush();
  EXPECT_EQ(effects_.removed, std::vector<std::string>{"/again"});
}

TEST_F(ReplicaCoreTest, ASnapshotWaitsForALeaderToSpeakFor) {
  StartMember({1, 2, 3});
  raft::SnapshotMeta meta;
  meta.index = LogIndex(50);
  meta.term = Term(3);
  core_->OnSnapshotReceived(MemberId(2), meta, "/file");
  core_->Flush();
  EXPECT_TRUE(effects_.installs.empty());
  EXPECT_TRUE(effects_.removed.empty());
}

// Member 2 is to send a snapshot while it leads in term 2. It makes the copy when it follows member
// 3 in term 4 and has applied entries of it. The copy arrives before any message of member 3.
TEST_F(ReplicaCoreTest, ASnapshotOfATermThatThisNodeHasNotHeardOfIsInstalled) {
  StartMember({1, 2, 3});
  core_->OnMessages({}, {raft::Message{MemberId(2), MemberId(1), Term(2), raft::Heartbeat{}}});
  core_->Flush();
  Sync();
  raft::SnapshotMeta meta;
  meta.index = LogIndex(50);
  meta.term = Term(4);
  meta.config = core_->status().core.config;
  meta.config_index = LogIndex(2);
  core_->OnSnapshotReceived(MemberId(2), meta, "/file");
  core_->Flush();
  ASSERT_EQ(effects_.installs, std::vector<std::string>{"/file"});
  report_.index = LogIndex(50);
  report_.term = Term(4);
  core_->OnInstalled(OkStatus(), report_, LogIndex(50));
  core_->Flush();
  ASSERT_FALSE(effects_.persists.empty());
  ASSERT_TRUE(effects_.persists[0].hard_state);
  EXPECT_EQ(effects_.persists[0].hard_state->term, Term(4));
  EXPECT_TRUE(effects_.persists[0].reset_to);
  Sync();
  EXPECT_EQ(core_->status().core.last, LogIndex(50));
  EXPECT_EQ(core_->status().core.term, Term(4));
}

TEST_F(ReplicaCoreTest, ARemovedMemberKeepsQuietHoweverManyTicksComeAtOnce) {
  StartMember({1, 2, 3});
  Ask({2, 3}, 4, 50);
  ASSERT_FALSE(core_->status().trouble.ok());
  Tick();
  effects_.sent.clear();
  const uint64_t odd = options_.election_ticks / 2;
  for (int i = 0; i < 500; ++i) {
    clock_.Advance(odd * options_.tick);
    core_->OnTick(odd);
    core_->Flush();
    ASSERT_EQ(core_->status().core.role, raft::Role::kFollower);
  }
  EXPECT_TRUE(effects_.sent.empty());
}

TEST_F(ReplicaCoreTest, APeerThatIsBehindDoesNotMakeAMemberBelieveThatItWasRemoved) {
  StartMember({1, 2, 3});
  Ask({2, 3}, 1, 50);  // from before member 1 was admitted
  EXPECT_TRUE(core_->status().trouble.ok());
  Ask({2, 3}, 4, 0);  // no later than what this node knows
  EXPECT_TRUE(core_->status().trouble.ok());
  Ask({2, 3}, 4, 50, /*cluster=*/8);
  EXPECT_TRUE(core_->status().trouble.ok());
  Ask({1, 2, 3}, 5, 50);  // still a member
  EXPECT_TRUE(core_->status().trouble.ok());
  Ask({2, 3}, 4, 50);
  EXPECT_NE(core_->status().trouble.message().find("was removed"), std::string::npos);
  effects_.probes.clear();
  effects_.sent.clear();
  Tick(2000);
  EXPECT_TRUE(effects_.probes.empty());
  EXPECT_TRUE(effects_.sent.empty()) << "it disturbs nobody any more";
}

// Nodes 1 to 3 let 4 in. Node 1 misses it, and then one of the others dies. If node 4 has the
// longest log, only 4 can be elected, with the vote of 1, which must know where to send the vote.
TEST_F(ReplicaCoreTest, ACandidateThatWasLetInBehindItsBackGetsItsVote) {
  StartMember({1, 2, 3});
  EXPECT_FALSE(effects_.peers.contains(MemberId(4)));
  SayHello(4, {}, "node4");
  EXPECT_EQ(effects_.peers[MemberId(4)], (transport::Peer{{"node4"}, 4}));
  EXPECT_EQ(effects_.peers[MemberId(2)].addresses.size(), 1u) << "the others stay";
  core_->OnMessages({}, {raft::Message{MemberId(4), MemberId(1), Term(5),
                                       raft::VoteRequest{LogIndex(9), Term(4), true}}});
  core_->Flush();
  ASSERT_EQ(effects_.persists.size(), 1u);
  ASSERT_EQ(effects_.persists[0].send_after.size(), 1u);
  EXPECT_EQ(effects_.persists[0].send_after[0].to, MemberId(4));
  EXPECT_TRUE(std::get<raft::VoteReply>(effects_.persists[0].send_after[0].body).granted);
  SayHello(0, {}, "node9");
  EXPECT_EQ(effects_.peers.size(), 3u) << "one that was removed gets no connection";
}

// The leader is where its process says. The configuration and --peers come after that.
TEST_F(ReplicaCoreTest, AMemberThatMovedIsLookedForWhereItSaysItLives) {
  options_.listed_peers = {{1, "node1"}, {2, "listed2"}, {3, "node3"}};
  StartMember({1, 2, 3});
  EXPECT_EQ(effects_.peers[MemberId(2)].addresses, (transport::Addresses{"node2", "listed2"}));
  EXPECT_EQ(effects_.peers[MemberId(3)].addresses, (transport::Addresses{"node3"}));
  SayHello(2, {4, 40}, "moved2");
  EXPECT_EQ(effects_.peers[MemberId(2)], (transport::Peer{{"moved2", "node2", "listed2"}, 2}));
  core_->OnMessages({4, 40}, {raft::Message{MemberId(2), MemberId(1), Term(3), raft::Heartbeat{}}});
  core_->Flush();
  ASSERT_TRUE(core_->leader_hint().has_value());
  EXPECT_EQ(core_->leader_hint()->address, "moved2");
}

TEST_F(ReplicaCoreTest, MessagesOfAStartBeforeTheLastOneAreNotHeard) {
  StartMember({1, 2, 3});
  SayHello(2, {4, 40}, "node2");
  core_->OnMessages({3, 30}, {raft::Message{MemberId(2), MemberId(1), Term(3), raft::Heartbeat{}}});
  core_->OnMessages({4, 41}, {raft::Message{MemberId(2), MemberId(1), Term(3), raft::Heartbeat{}}});
  core_->Flush();
  EXPECT_EQ(core_->status().core.term, Term(0));
  core_->OnMessages({4, 40}, {raft::Message{MemberId(2), MemberId(1), Term(3), raft::Heartbeat{}}});
  core_->Flush();
  EXPECT_EQ(core_->status().core.term, Term(3));
}

// The leader writes down what it hears, in a change of addresses and starts alone.
TEST_F(ReplicaCoreTest, TheLeaderWritesDownWhereMembersLiveAndWhichStartItHeardOf) {
  LeadWithMember2();
  SayHello(2, {4, 40}, "moved2");
  std::optional<raft::Configuration> written;
  for (int i = 0; i < 20 && !written; ++i) {
    Tick();
    for (const raft::Persist& persist : effects_.persists) {
      for (const raft::Entry& entry : persist.entries) {
        if (entry.type != raft::EntryType::kConfig) continue;
        written = raft::DecodeConfiguration(*entry.payload);
      }
    }
    SendAfterSync();
    AnswerAsMember2();
  }
  ASSERT_TRUE(written.has_value());
  EXPECT_EQ(written->info.at(MemberId(2)).address, "moved2");
  EXPECT_EQ(written->info.at(MemberId(2)).boot, (raft::Boot{4, 40}));
  EXPECT_EQ(written->voters.size(), 2u);
  EXPECT_FALSE(written->joint());
}

TEST_F(ReplicaCoreTest, ACopyThatIsRefusedLeavesForGoodAndSaysSo) {
  StartMember({1, 2, 3});
  const Status twin = Aborted("another process still runs as member 1, at x");
  core_->OnRefused(MemberId(2), twin);
  EXPECT_TRUE(core_->status().trouble.ok()) << "after a restart it is so for a moment";
  clock_.Advance(std::chrono::seconds(17));
  core_->OnRefused(MemberId(2), twin);
  EXPECT_NE(core_->status().trouble.message().find("still runs"), std::string::npos);
  EXPECT_TRUE(core_->lost().ok());
  core_->OnRefused(MemberId(2), AlreadyExists("a copy"));
  EXPECT_FALSE(core_->lost().ok());
  EXPECT_FALSE(core_->serves_local_reads());
  EXPECT_EQ(effects_.copies.size(), 1u);
  EXPECT_NE(core_->status().trouble.message().find("runs from a copy"), std::string::npos);
  effects_.sent.clear();
  effects_.persists.clear();
  core_->OnMessages({}, {raft::Message{MemberId(2), MemberId(1), Term(3),
                                       raft::VoteRequest{LogIndex(9), Term(3), false}}});
  Tick(2000);
  EXPECT_TRUE(effects_.sent.empty());
  EXPECT_TRUE(effects_.peers.empty()) << "it says hello to nobody";
  EXPECT_TRUE(effects_.probes.empty()) << "it does not ask whether it was removed";
  EXPECT_TRUE(effects_.persists.empty());
}

// What a copy holds says nothing about the member. The bad schedule: the copy reports a digest
// under the member's name, and the member is fenced for it.
TEST_F(ReplicaCoreTest, ACopyReportsNothingOfWhatItHolds) {
  StartMember({1, 2, 3});
  core_->OnMessages({}, {raft::Message{MemberId(2), MemberId(1), Term(3), raft::Heartbeat{}}});
  core_->Flush();
  Sync();
  const auto reports = [this] {
    return std::count_if(effects_.sent.begin(), effects_.sent.end(), [](const raft::Message& sent) {
      return std::holds_alternative<raft::DigestReport>(sent.body);
    });
  };
  core_->OnDigest(LogIndex(1), {});
  ASSERT_EQ(reports(), 1);
  core_->OnRefused(MemberId(2), AlreadyExists("a copy"));
  core_->OnDigest(LogIndex(2), {});
  Tick(2000);
  EXPECT_EQ(reports(), 1);
  SayHello(3, {4, 40}, "node3");
  EXPECT_TRUE(effects_.peers.empty()) << "news of a member's address do not make it call";
}

TEST_F(ReplicaCoreTest, OnlyAVoterMayCallThisProcessACopy) {
  raft::Configuration config;
  for (const uint64_t id : {1, 2, 3}) config.info[MemberId(id)] = {id, "node", id};
  config.voters = {MemberId(1), MemberId(2)};
  config.learners = {MemberId(3)};
  config.next_member_id = 5;
  raft::InitialState raft;
  raft.config = config;
  StartMember({1, 2}, std::move(raft));
  core_->OnRefused(MemberId(3), AlreadyExists("a copy"));
  core_->OnRefused(MemberId(4), AlreadyExists("a copy"));
  EXPECT_TRUE(core_->lost().ok());
  core_->OnRefused(MemberId(2), AlreadyExists("a copy"));
  EXPECT_FALSE(core_->lost().ok());
}

TEST_F(ReplicaCoreTest, AMemberLetInLaterMayCallThisProcessACopy) {
  raft::Configuration config;
  for (const uint64_t id : {1, 2}) config.info[MemberId(id)] = {id, "node", id};
  config.voters = {MemberId(1), MemberId(2)};
  config.next_member_id = 3;
  raft::InitialState raft;
  raft.config = config;
  StartMember({1, 2}, std::move(raft));
  core_->OnRefused(MemberId(3), AlreadyExists("a copy"));
  EXPECT_FALSE(core_->lost().ok());
}

// The transport lets callers in as soon as it has the identity.
TEST_F(ReplicaCoreTest, StartsInTheLogAreKnownBeforeAnybodyMayCall) {
  raft::Configuration config;
  for (const uint64_t id : {1, 2}) {
    config.voters.insert(MemberId(id));
    config.info[MemberId(id)] = {id, "node" + std::to_string(id), id};
  }
  config.info[MemberId(2)].boot = {5, 50};
  config.next_member_id = 3;
  raft::InitialState raft;
  raft.hard_state.term = Term(1);
  raft.log.push_back({Term(1), LogIndex(1), raft::EntryType::kConfig,
                      std::make_shared<const std::string>(raft::EncodeConfiguration(config))});
  Status copy;
  effects_.on_identity = [&] {
    transport::Identity caller;
    caller.member = MemberId(2);
    caller.start.boot = {4, 41};
    copy = core_->callers()->Admit(caller, clock_.SteadyNow());
  };
  StartMember({1, 2}, std::move(raft));
  EXPECT_EQ(copy.code(), StatusCode::kAlreadyExists);
}

// Member 2 runs another build, and does not report its results.
TEST_F(ReplicaCoreTest, WhatIsHeldIsLetGoWhenAllWhoWaitedHaveBeenAnswered) {
  LeadWithMember2();
  core_->OnCaller(MemberId(2), "another build");
  ASSERT_TRUE(core_->compares_results());
  const auto outcome = Propose(std::chrono::seconds(1));
  core_->Flush();
  SendAfterSync();
  AnswerAsMember2();
  for (ApplyJob& job : std::exchange(effects_.applies, {})) {
    ASSERT_TRUE(*job.hold_results);
    report_.index = job.batch.entries.back().index;
    report_.compared = std::make_shared<ComparedResults>();
    for (EntryWaiters& waiters : job.waiters) {
      report_.compared->held.push_back(
          {waiters.index, std::move(waiters.commands), std::vector<CommandResult>(1)});
    }
    core_->OnApplied(report_);
  }
  const Term next(core_->status().core.term.value() + 1);
  const auto follow = [&] {
    core_->OnMessages(boot_of_2_, {{MemberId(2), MemberId(1), next, raft::Heartbeat{}}});
    core_->Flush();
    Sync();
  };
  follow();
  bool ended = false;
  core_->BeginShutdown(clock_.SteadyNow() + std::chrono::hours(1), [&] { ended = true; });
  EXPECT_FALSE(ended) << "an outcome is held";
  EXPECT_EQ(outcome->message(), "pending");
  for (int i = 0; i < 110; ++i) {
    Tick();
    follow();
  }
  EXPECT_EQ(outcome->code(), StatusCode::kDeadlineExceeded);
  EXPECT_EQ(outcome->outcome(), Outcome::kUnknown);
  EXPECT_TRUE(ended) << "nothing is held any more";
}

// The report of a node that was removed made the leader hold back what all members agree on.
TEST_F(ReplicaCoreTest, WhatANodeOutsideReportsMakesNobodyCompare) {
  LeadWithMember2();
  ASSERT_FALSE(core_->compares_results());
  const auto report = [&](uint64_t member, const raft::Boot& boot) {
    core_->OnMessages(boot, {{MemberId(member), MemberId(1), core_->status().core.term,
                              raft::ResultReport{report_.index, {report_.results_hash + 1}}}});
  };
  report(9, {});
  EXPECT_FALSE(core_->compares_results());
  report(2, boot_of_2_);
  EXPECT_TRUE(core_->compares_results());
}

TEST_F(ReplicaCoreTest, MessagesToTheMemberThatThisNodeWasBeforeAreNotHeard) {
  StartMember({1, 2, 3});
  core_->OnMessages({}, {raft::Message{MemberId(2), MemberId(7), Term(3), raft::Heartbeat{}}});
  core_->Flush();
  EXPECT_EQ(core_->status().core.term, Term(0));
}

}  // namespace
}  // namespace cairn::node
