// Ongaro's thesis, section by section (3.10, 4, 6.4, 9.6), and the promises at the core's boundary.
#include <gtest/gtest.h>

#include <vector>

#include "raft/configuration_codec.h"
#include "raft/one_core_test_util.h"

namespace cairn::raft {
namespace {

// ---- 3.10 Leadership transfer -------------------------------------------------------------------

TEST(Thesis310, TheTargetIsToldOnceItHoldsTheWholeLogAndWritesAreRefusedMeanwhile) {
  OneCore node({1, 2, 3});
  node.BecomeLeader();
  node.Step(TransferLeader{MemberId(2)});
  EXPECT_TRUE(node.Sent<TimeoutNow>().empty());
  node.Propose("x");
  ASSERT_EQ(node.dropped.size(), 1u);
  EXPECT_EQ(node.dropped[0].reason, DropReason::kTransferring);
  node.Ack(2, 1);
  EXPECT_EQ(node.Last<TimeoutNow>().last_index, LogIndex(1));
}

TEST(Thesis310, ATargetCampaignsAtOnceAndSaysWhy) {
  OneCore node({1, 2, 3}, {1}, 1);
  node.From(2, 1, Heartbeat{});
  node.From(2, 1, TimeoutNow{LogIndex(1)});
  EXPECT_EQ(node.core->role(), Role::kCandidate);
  node.Sync();
  EXPECT_TRUE(node.Last<VoteRequest>().leadership_transfer);
}

TEST(Thesis310, TheTargetChosenIsOneThatAnswersThoughASilentOneHoldsMore) {
  OneCore node({1, 2, 3});
  node.BecomeLeader();
  node.Ack(2, 1);
  node.Ack(3, 1);
  node.Propose("x");
  node.Sync();
  node.Ack(2, 2);  // node 2 then dies
  node.Tick(8);
  node.From(3, 1, HeartbeatReply{});
  node.Step(TransferLeader{});
  EXPECT_EQ(node.status().transfer_target, MemberId(3));
}

TEST(Thesis310, ALeaderThatMustStopAtOnceAsksTheBestVoterToTakeOver) {
  OneCore node({1, 2, 3});
  node.BecomeLeader();
  node.Ack(2, 1);
  node.From(2, 1, HeartbeatReply{});
  node.Step(StepDown{40});
  EXPECT_EQ(node.core->role(), Role::kFollower);
  const std::vector<Message> asked = node.Sent<TimeoutNow>();
  ASSERT_EQ(asked.size(), 1u);
  EXPECT_EQ(asked[0].to, MemberId(2));
  EXPECT_EQ(std::get<TimeoutNow>(asked[0].body).last_index, LogIndex(1));
  node.Step(StepDown{40});
  EXPECT_TRUE(node.Sent<TimeoutNow>().empty()) << "it leads no more";
}

TEST(Thesis62, APeerThatAnswersIsActiveAtEveryCheckOfTheQuorum) {
  OneCore node({1, 2, 3});
  node.BecomeLeader();
  for (int tick = 0; tick < 60; ++tick) {
    node.From(2, 1, HeartbeatReply{});
    node.Tick();
    ASSERT_TRUE(node.status().peers.at(MemberId(2)).recently_active) << tick;
    EXPECT_EQ(node.status().peers.at(MemberId(3)).recently_active, tick < 19) << tick;
  }
  EXPECT_EQ(node.core->role(), Role::kLeader);
}

TEST(Thesis310, AStaleTimeoutNowIsDropped) {
  OneCore node({1, 2, 3}, {1, 1}, 1);
  node.From(2, 1, Heartbeat{});
  node.From(2, 1, TimeoutNow{LogIndex(1)});
  EXPECT_EQ(node.core->role(), Role::kFollower);
  node.From(2, 0, TimeoutNow{LogIndex(2)});
  EXPECT_EQ(node.core->role(), Role::kFollower);
}

TEST(Thesis310, AVoterObeysATransferThoughItHearsItsLeader) {
  OneCore node({1, 2, 3});
  node.From(2, 1, Heartbeat{});
  node.From(3, 2, VoteRequest{LogIndex(0), Term(0), false});
  EXPECT_EQ(node.core->term(), Term(1)) << "4.2.3: loyal to a leader it hears";
  node.From(3, 2, VoteRequest{LogIndex(0), Term(0), true});
  node.Sync();
  EXPECT_TRUE(node.Last<VoteReply>().granted);
}

// ---- 4 Membership -------------------------------------------------------------------------------

TEST(Thesis4, AConfigurationTakesEffectWhenItIsCommitted) {
  OneCore node({1, 2});
  node.BecomeLeader();
  node.Ack(2, 1);
  Configuration target = MakeConfig({1, 2}, {3});
  node.Step(ProposeConfig{77, target});
  ASSERT_EQ(node.accepted.size(), 1u);
  EXPECT_TRUE(node.status().config_in_progress);
  EXPECT_FALSE(node.status().peers.contains(MemberId(3)));
  node.Sync();
  node.Ack(2, 2);
  EXPECT_EQ(node.status().config, target);
  EXPECT_TRUE(node.status().peers.contains(MemberId(3)));
}

TEST(Thesis4, WhatFollowsAConfigurationNeedsTheNewQuorum) {
  OneCore node({1, 2, 3});
  node.BecomeLeader();
  node.Ack(2, 1);
  node.Step(ProposeConfig{77, MakeConfig({1, 2, 3}, {4, 5})});
  node.Sync();
  node.Ack(2, 2);
  Configuration target = MakeConfig({1, 4, 5}, {2, 3});
  target.next_member_id = 6;
  node.Sync();
  node.Ack(2, 3);
  node.Step(ProposeConfig{78, target});
  node.Propose("x");
  node.Sync();
  node.Ack(2, 5);
  EXPECT_EQ(node.core->commit(), LogIndex(4)) << "1 and 2 are no majority of 1, 4 and 5";
  EXPECT_TRUE(node.status().config.joint());
  node.Ack(4, 5);
  EXPECT_EQ(node.core->commit(), LogIndex(5));
}

TEST(Thesis4, TheNextChangeWaitsUntilTheCommitmentOfTheLastIsDurable) {
  OneCore node({1, 2});
  node.BecomeLeader();
  node.Ack(2, 1);
  node.Step(ProposeConfig{77, MakeConfig({1, 2}, {3})});
  node.Sync();
  node.Ack(2, 2);
  ASSERT_EQ(node.status().config_index, LogIndex(2));
  ASSERT_FALSE(node.writes.empty()) << "the commitment of a configuration is written by itself";
  EXPECT_EQ(node.writes.back().hard_state->commit, LogIndex(2));
  node.Step(ProposeConfig{78, MakeConfig({1, 2}, {3, 4})});
  ASSERT_EQ(node.dropped.size(), 1u);
  EXPECT_EQ(node.dropped[0].reason, DropReason::kConfigInProgress);
  node.Ack(2, 3);
  node.Step(ProposeConfig{79, MakeConfig({1, 2}, {3, 4})});
  ASSERT_EQ(node.dropped.size(), 2u);
  node.Sync();
  node.Step(ProposeConfig{80, MakeConfig({1, 2}, {3, 4})});
  EXPECT_EQ(node.accepted.back().id, 80u);
}

// Members 1, 2 and 3; member 3 was lost, and member 4 replaces it. When the change is committed, 2
// and 4 hold the entry but still count by the joint state. If member 1, the leader, is lost next,
// then 1, 2 and 3 have no majority. So the change is not done before a quorum knows that it is
// committed.
TEST(Thesis4, AChangeIsDoneWhenAQuorumKnowsThatItIsCommitted) {
  OneCore node({1, 2, 3});
  node.BecomeLeader();
  node.Ack(2, 1);
  node.Step(ProposeConfig{77, MakeConfig({1, 2, 3}, {4})});
  node.Sync();
  node.sent.clear();
  node.Ack(2, 2);
  node.Sync();
  EXPECT_EQ(node.status().config_index, LogIndex(2));
  EXPECT_TRUE(node.status().config_in_progress);
  const auto told = std::find_if(node.sent.begin(), node.sent.end(), [](const Message& m) {
    const auto* append = std::get_if<AppendRequest>(&m.body);
    return m.to == MemberId(2) && append != nullptr && !append->entries.empty();
  });
  ASSERT_NE(told, node.sent.end());
  const auto& append = std::get<AppendRequest>(told->body);
  EXPECT_EQ(append.entries.front().index, LogIndex(3));
  EXPECT_GE(append.commit, LogIndex(2)) << "stored with the entry";
  node.Ack(2, 3);
  EXPECT_FALSE(node.status().config_in_progress);
}

TEST(Thesis4, AConfigurationInTheLogProvesTheOneBeforeItCommitted) {
  OneCore node({1, 2, 3});
  const auto config_entry = [](uint64_t index, const Configuration& config) {
    return Entry{Term(1), LogIndex(index), EntryType::kConfig,
                 MakePayload(EncodeConfiguration(config))};
  };
  node.From(2, 1, MakeAppend(0, 0, 0, {config_entry(1, MakeConfig({1, 2, 3}, {4}))}));
  EXPECT_EQ(node.core->commit(), LogIndex(0));
  node.From(2, 1, MakeAppend(1, 1, 0, {config_entry(2, MakeConfig({1, 2, 3}, {4, 5}))}));
  EXPECT_EQ(node.core->commit(), LogIndex(1));
  EXPECT_EQ(node.status().config_index, LogIndex(1));
}

// ---- 6.4 Reads ----------------------------------------------------------------------------------

TEST(Thesis64, BarriersThatComeWhileARoundIsUnderWayShareTheNext) {
  OneCore node({1, 2, 3});
  node.BecomeLeader();
  node.Ack(2, 1);
  node.sent.clear();
  for (uint64_t id = 1; id <= 100; ++id) node.Step(ReadBarrier{id});
  const std::vector<Message> heartbeats = node.Sent<Heartbeat>();
  EXPECT_EQ(heartbeats.size(), 4u) << "two rounds to two followers";
  node.From(2, 1, HeartbeatReply{ReadId(2)});
  EXPECT_EQ(node.reads.size(), 2u);
  node.From(2, 1, HeartbeatReply{ReadId(3)});
  EXPECT_EQ(node.reads.size(), 100u);
}

TEST(Thesis64, ALeaderWithoutACommitInItsTermGrantsNothing) {
  OneCore node({1, 2, 3});
  node.BecomeLeader();
  node.Step(ReadBarrier{1});
  node.Tick(2);
  node.From(2, 1, HeartbeatReply{ReadId(0)});
  node.From(3, 1, HeartbeatReply{ReadId(0)});
  EXPECT_TRUE(node.reads.empty());
  node.Ack(2, 1);
  node.From(2, 1, HeartbeatReply{ReadId(1)});
  ASSERT_EQ(node.reads.size(), 1u);
  EXPECT_EQ(node.reads[0].index, LogIndex(1));
}

TEST(Thesis64, ReadsOfALeaderThatIsDeposedAreDroppedAndFollowersTold) {
  OneCore node({1, 2, 3, 4, 5});
  node.BecomeLeader();
  node.Ack(2, 1);
  node.Ack(3, 1);
  node.Step(ReadBarrier{1});
  node.From(3, 1, ReadIndexRequest{55});
  node.From(2, 2, AppendReply{false, LogIndex(), LogIndex(), Term()});
  ASSERT_EQ(node.dropped.size(), 1u);
  EXPECT_EQ(node.dropped[0].reason, DropReason::kLeadershipLost);
  const auto reply = node.Last<ReadIndexReply>();
  EXPECT_EQ(reply.context, 55u);
  EXPECT_FALSE(reply.ok);
}

TEST(Thesis64, TheQuestionOfAFollowerThatMakesTheMajorityIsAnsweredAtOnce) {
  OneCore node({1, 2, 3});
  node.BecomeLeader();
  node.From(2, 1, ReadIndexRequest{54});
  EXPECT_TRUE(node.Sent<ReadIndexReply>().empty()) << "nothing of its own term is committed";
  node.Ack(2, 1);
  node.Step(ReadBarrier{1});
  node.sent.clear();
  node.From(3, 1, ReadIndexRequest{55});
  const auto reply = node.Last<ReadIndexReply>();
  EXPECT_TRUE(reply.ok);
  EXPECT_EQ(reply.context, 55u);
  EXPECT_EQ(reply.index, LogIndex(1));
  EXPECT_TRUE(node.reads.empty()) << "it may have been sent long before the leader's own read";
  EXPECT_TRUE(node.Sent<Heartbeat>().empty()) << "it costs no round";
}

TEST(Thesis64, AQuestionThatMakesNoMajorityNeedsARound) {
  OneCore three({1, 2, 3});
  three.BecomeLeader();
  three.Ack(2, 1);
  three.sent.clear();
  three.From(4, 1, ReadIndexRequest{55});  // 4 is not a voter
  EXPECT_TRUE(three.Sent<ReadIndexReply>().empty());
  EXPECT_FALSE(three.Sent<Heartbeat>().empty());
  OneCore five({1, 2, 3, 4, 5});
  five.BecomeLeader();
  five.Ack(2, 1);
  five.Ack(3, 1);
  five.sent.clear();
  five.From(4, 1, ReadIndexRequest{55});
  EXPECT_TRUE(five.Sent<ReadIndexReply>().empty());
}

// Otherwise the reader would wait for the next append or heartbeat.
TEST(Thesis64, AReadIndexBringsTheCommitThatTheFollowerWasNotToldOf) {
  OneCore node({1, 2, 3});
  node.BecomeLeader();
  node.Ack(3, 1);
  node.core->Step(Propose{{{1, std::make_shared<const std::string>("x")}}});
  node.TakeOutputs();
  node.Sync();
  node.core->Step(Received{
      {MemberId(3), MemberId(1), Term(1), AppendReply{true, LogIndex(2), LogIndex(), Term()}}});
  node.TakeOutputs();
  EXPECT_EQ(node.core->commit(), LogIndex(2));
  EXPECT_TRUE(node.core->commit_untold());
  node.sent.clear();
  node.core->Step(Received{{MemberId(3), MemberId(1), Term(1), ReadIndexRequest{55}}});
  node.TakeOutputs();
  ASSERT_EQ(node.sent.size(), 2u);
  EXPECT_EQ(std::get<Heartbeat>(node.sent[0].body).commit, LogIndex(2));
  EXPECT_EQ(std::get<ReadIndexReply>(node.sent[1].body).index, LogIndex(2));
  EXPECT_FALSE(node.core->commit_untold());
}

TEST(Thesis64, AFollowerAsksOnceForManyAndAgainWhenTheAnswerIsLost) {
  OneCore node({1, 2, 3});
  node.Step(ReadBarrier{1});
  node.Step(ReadBarrier{2});
  EXPECT_TRUE(node.sent.empty()) << "no leader is known";
  node.From(2, 1, Heartbeat{});
  const auto first = node.Sent<ReadIndexRequest>();
  ASSERT_EQ(first.size(), 1u);
  node.Tick(2);
  const auto again = node.Last<ReadIndexRequest>();
  EXPECT_EQ(again.context, std::get<ReadIndexRequest>(first[0].body).context);
  node.From(2, 1, ReadIndexReply{again.context, false, LogIndex()});
  EXPECT_TRUE(node.reads.empty()) << "a refusal is waited out";
  node.From(2, 1, ReadIndexReply{again.context, true, LogIndex(8)});
  ASSERT_EQ(node.reads.size(), 2u);
  EXPECT_EQ(node.reads[1].index, LogIndex(8));
}

TEST(Thesis64, ContextsOfTwoLivesOfANodeDiffer) {
  Options options;
  options.self = MemberId(1);
  uint64_t contexts[2];
  Rng rng(3);  // a restarted node continues the random sequence
  for (uint64_t& context : contexts) {
    InitialState initial;
    initial.config = MakeConfig({1, 2});
    RaftCore core(options, initial, &rng);
    core.Step(Received{{MemberId(2), MemberId(1), Term(1), Heartbeat{}}});
    core.Step(ReadBarrier{1});
    for (const Message& message : core.TakeOutput().send_now) {
      if (const auto* request = std::get_if<ReadIndexRequest>(&message.body)) {
        context = request->context;
      }
    }
  }
  EXPECT_NE(contexts[0], contexts[1]);
}

// ---- 9.6 Pre-vote -------------------------------------------------------------------------------

TEST(Thesis96, APreVoteChangesNothingAtTheReceiver) {
  OneCore node({1, 2, 3});
  node.From(2, 7, PreVoteRequest{LogIndex(0), Term(0)});
  EXPECT_EQ(node.core->term(), Term(0));
  EXPECT_TRUE(node.writes.empty());
  const std::vector<Message> replies = node.Sent<PreVoteReply>();
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_EQ(replies[0].term, Term(7)) << "a grant carries the term asked for";
  EXPECT_TRUE(std::get<PreVoteReply>(replies[0].body).granted);
}

TEST(Thesis96, ARefusalCarriesTheRefusersTermAndTheAskerTakesIt) {
  OneCore node({1, 2, 3}, {}, /*term=*/9);
  node.From(2, 3, PreVoteRequest{LogIndex(5), Term(2)});
  std::vector<Message> replies = node.Sent<PreVoteReply>();
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_EQ(replies[0].term, Term(9));
  OneCore asker({1, 2, 3}, {1}, 1);
  asker.Tick(20);
  asker.From(2, 9, PreVoteReply{false});
  EXPECT_EQ(asker.core->term(), Term(9));
  EXPECT_EQ(asker.core->role(), Role::kFollower);
}

TEST(Thesis96, ALeaderThatIsHeardIsNotVotedAway) {
  OneCore node({1, 2, 3});
  node.From(2, 1, Heartbeat{});
  node.From(3, 2, PreVoteRequest{LogIndex(0), Term(0)});
  EXPECT_FALSE(node.Last<PreVoteReply>().granted);
  node.Tick(10);
  node.sent.clear();
  node.From(3, 2, PreVoteRequest{LogIndex(0), Term(0)});
  EXPECT_TRUE(node.Last<PreVoteReply>().granted);
}

TEST(Thesis96, ALeaderWhoseProcessIsGoneIsForgottenAfterAMissedHeartbeatAndReplacedSoon) {
  OneCore node({1, 2, 3});  // heartbeats every 2 ticks, election timeouts of 10 to 20
  node.From(2, 1, Heartbeat{});
  node.Step(PeerGone{MemberId(2)});
  EXPECT_EQ(node.core->leader(), MemberId(2)) << "its next heartbeat may still come";
  node.From(3, 2, PreVoteRequest{LogIndex(0), Term(0)});
  EXPECT_FALSE(node.Last<PreVoteReply>().granted);
  node.Tick(2);
  EXPECT_TRUE(node.core->leader().is_none());
  node.From(3, 2, PreVoteRequest{LogIndex(0), Term(0)});
  EXPECT_TRUE(node.Last<PreVoteReply>().granted);
  node.Tick(5);
  EXPECT_EQ(node.core->role(), Role::kPreCandidate);
  EXPECT_EQ(node.core->term(), Term(1));
}

TEST(Thesis96, ALeaderSaidToBeGoneThatIsHeardAgainIsGivenAWholeTimeout) {
  OneCore node({1, 2, 3});
  node.From(2, 1, Heartbeat{});
  for (int i = 0; i < 50; ++i) {
    node.Step(PeerGone{MemberId(2)});
    node.Tick(1);
    node.From(2, 1, Heartbeat{});
  }
  EXPECT_EQ(node.core->leader(), MemberId(2));
  node.Tick(9);
  EXPECT_EQ(node.core->role(), Role::kFollower);
  EXPECT_TRUE(node.Sent<PreVoteRequest>().empty());
}

TEST(Thesis96, TheHurryAfterALeaderThatIsGoneIsBounded) {
  OneCore node({1, 2, 3});
  node.From(2, 1, Heartbeat{});
  for (int i = 0; i < 20; ++i) {
    node.Step(PeerGone{MemberId(2)});
    node.Tick(1);
  }
  const size_t hurried = node.Sent<PreVoteRequest>().size() / 2;
  EXPECT_GE(hurried, 2u);
  EXPECT_LE(hurried, 4u);
  for (int i = 0; i < 200; ++i) {
    node.Step(PeerGone{MemberId(2)});
    node.Tick(1);
  }
  EXPECT_LE(node.Sent<PreVoteRequest>().size() / 2, 20u) << "election timeouts are at least 10";
  EXPECT_EQ(node.core->term(), Term(1));
}

TEST(Thesis96, AVoterOfAHurriedElectionGivesItAWholeTimeout) {
  OneCore node({1, 2, 3});
  node.From(2, 1, Heartbeat{});
  node.Step(PeerGone{MemberId(2)});
  node.Tick(2);
  node.From(3, 2, VoteRequest{LogIndex(0), Term(0), false});
  node.Sync();
  EXPECT_TRUE(node.Last<VoteReply>().granted);
  node.Tick(9);
  EXPECT_TRUE(node.Sent<PreVoteRequest>().empty());
}

TEST(Thesis96, OnlyTheLeadersEndHurriesAFollower) {
  OneCore node({1, 2, 3});
  node.From(2, 1, Heartbeat{});
  node.Step(PeerGone{MemberId(3)});
  node.Tick(9);
  EXPECT_EQ(node.core->leader(), MemberId(2));
  EXPECT_TRUE(node.Sent<PreVoteRequest>().empty());
}

TEST(Thesis96, ALearnerNeverCampaigns) {
  OneCore node({2, 3});
  node.Tick(100);
  EXPECT_TRUE(node.sent.empty());
  EXPECT_EQ(node.core->role(), Role::kFollower);
}

// ---- The boundary -------------------------------------------------------------------------------

TEST(Boundary, AnIdleCoreHasNoOutput) {
  OneCore node({1, 2, 3});
  node.From(2, 1, Heartbeat{});
  EXPECT_FALSE(node.core->HasOutput());
  node.core->Step(Tick{});
  EXPECT_FALSE(node.core->HasOutput());
}

TEST(Boundary, EveryRefusalSaysWhatToDo) {
  OneCore node({1, 2, 3});
  node.Propose("x");
  node.From(2, 1, Heartbeat{});
  node.Propose("x");
  node.Step(ProposeConfig{5, MakeConfig({1})});
  ASSERT_EQ(node.dropped.size(), 3u);
  EXPECT_EQ(node.dropped[0].detail, "no leader is known; try again after the election");
  EXPECT_EQ(node.dropped[1].detail, "member 2 leads; send it there");
  EXPECT_EQ(node.dropped[2].reason, DropReason::kNotLeader);
}

TEST(Boundary, AMalformedAppendIsIgnored) {
  OneCore node({1, 2, 3});
  node.From(2, 1, MakeAppend(0, 0, 0, {MakeEntry(2, 1)}));
  node.From(2, 1, MakeAppend(0, 0, 0, {MakeEntry(1, 9)}));
  EXPECT_EQ(node.status().last, LogIndex(0));
}

}  // namespace
}  // namespace cairn::raft
