// One core at a time, message by message. Tests are named after the sections they hold the core to:
// 5.x of the Raft paper, 3.10, 4.x, 6.4 and 9.6 of Ongaro's thesis.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "raft/cluster_test_util.h"
#include "raft/configuration_codec.h"
#include "raft/core.h"

namespace cairn::raft {
namespace {

Entry MakeEntry(uint64_t index, uint64_t term) {
  return {Term(term), LogIndex(index), EntryType::kNormal,
          MakePayload(std::to_string(term) + "/" + std::to_string(index))};
}

// Node 1 of `voters`, by hand. Outputs pile up in `out`; writes are durable only when told.
class OneCore {
 public:
  explicit OneCore(std::set<uint64_t> voters, std::vector<uint64_t> terms = {}, uint64_t term = 0,
                   Options options = {}) {
    options.self = MemberId(1);
    options.election_ticks = 10;
    options.heartbeat_ticks = 2;
    InitialState initial;
    initial.config = MakeConfig(voters);
    for (uint64_t each : terms) initial.log.push_back(MakeEntry(initial.log.size() + 1, each));
    initial.hard_state.term = Term(std::max(term, terms.empty() ? 0 : terms.back()));
    core = std::make_unique<RaftCore>(options, std::move(initial), &rng_);
    Take();
  }

  void Step(Input input) {
    core->Step(std::move(input));
    Take();
  }
  void From(uint64_t from, uint64_t term, MessageBody body) {
    Step(Received{{MemberId(from), MemberId(1), Term(term), std::move(body)}});
  }
  void Tick(int ticks = 1) {
    for (int i = 0; i < ticks; ++i) Step(raft::Tick{});
  }
  void Propose(std::string bytes) {
    raft::Propose propose;
    propose.proposals.push_back({++id_, MakePayload(std::move(bytes))});
    Step(std::move(propose));
  }
  // Makes everything durable; what waited for it joins `sent`.
  void Sync() {
    while (!writes.empty()) {
      Persist persist = std::move(writes.front());
      writes.erase(writes.begin());
      for (Message& message : persist.send_after) sent.push_back(std::move(message));
      Step(Persisted{persist.ticket});
    }
  }
  void BecomeLeader() {
    while (core->role() != Role::kPreCandidate) Tick();
    const uint64_t term = core->term().value() + 1;
    const auto voters = core->status().config.voters;
    for (MemberId id : voters) From(id.value(), term, PreVoteReply{true});
    Sync();
    for (MemberId id : voters) {
      if (core->role() == Role::kCandidate) From(id.value(), term, VoteReply{true});
    }
    ASSERT_EQ(core->role(), Role::kLeader);
    Sync();
  }
  void Ack(uint64_t from, uint64_t index) {
    From(from, core->term().value(), AppendReply{true, LogIndex(index), LogIndex(), Term()});
  }

  // The messages of one kind that were sent since the last call.
  template <class Body>
  std::vector<Message> Sent() {
    std::vector<Message> found;
    std::erase_if(sent, [&](Message& message) {
      if (!std::holds_alternative<Body>(message.body)) return false;
      found.push_back(message);
      return true;
    });
    return found;
  }
  template <class Body>
  Body Last() {
    const std::vector<Message> found = Sent<Body>();
    EXPECT_FALSE(found.empty());
    return found.empty() ? Body{} : std::get<Body>(found.back().body);
  }
  CoreStatus status() const { return core->status(); }

  std::unique_ptr<RaftCore> core;
  std::vector<Message> sent;
  std::vector<Persist> writes;
  std::vector<CommittedBatch> batches;
  std::vector<ReadGrant> reads;
  std::vector<Dropped> dropped;
  std::vector<Accepted> accepted;
  std::vector<Fetch> fetches;
  std::vector<InstallSnapshot> installs;
  std::vector<SendSnapshot> snapshots;

 private:
  template <class T>
  static void Move(std::vector<T>* from, std::vector<T>* to) {
    to->insert(to->end(), std::make_move_iterator(from->begin()),
               std::make_move_iterator(from->end()));
  }
  void Take() {
    while (core->HasOutput()) {
      Output output = core->TakeOutput();
      Move(&output.send_now, &sent);
      Move(&output.persists, &writes);
      Move(&output.reads, &reads);
      Move(&output.dropped, &dropped);
      Move(&output.accepted, &accepted);
      Move(&output.fetches, &fetches);
      Move(&output.send_snapshots, &snapshots);
      if (output.committed) batches.push_back(*output.committed);
      if (output.install_snapshot) installs.push_back(*output.install_snapshot);
    }
  }

  Rng rng_{7};
  uint64_t id_ = 0;
};

AppendRequest MakeAppend(uint64_t prev, uint64_t prev_term, uint64_t commit,
                         std::vector<Entry> entries = {}) {
  return {LogIndex(prev), Term(prev_term), LogIndex(commit), std::move(entries)};
}

// ---- 5.1 Terms
// -----------------------------------------------------------------------------------

TEST(Paper51, AHigherTermInAnyRoleMakesAFollowerWithoutAVote) {
  for (const bool lead : {false, true}) {
    OneCore node({1, 2, 3});
    if (lead) node.BecomeLeader();
    node.From(2, 9, AppendReply{false, LogIndex(), LogIndex(), Term()});
    EXPECT_EQ(node.core->role(), Role::kFollower);
    EXPECT_EQ(node.core->term(), Term(9));
    EXPECT_EQ(node.status().vote, MemberId());
  }
}

TEST(Paper51, MessagesOfAnOldTermChangeNothingAndLeadersOfItAreTold) {
  OneCore node({1, 2, 3}, {1, 2}, /*term=*/5);
  node.From(2, 4, MakeAppend(2, 2, 2, {MakeEntry(3, 4)}));
  EXPECT_EQ(node.status().last, LogIndex(2));
  EXPECT_EQ(node.status().commit, LogIndex(0));
  node.Sync();
  ASSERT_EQ(node.sent.size(), 1u);
  EXPECT_EQ(node.sent[0].term, Term(5));
  EXPECT_FALSE(std::get<AppendReply>(node.sent[0].body).success);
}

// ---- 5.2 Elections
// -------------------------------------------------------------------------------

TEST(Paper52, TimeoutsAreDrawnAnewBetweenOneAndTwoElectionTimeouts) {
  OneCore node({1, 2, 3});
  std::set<int> timeouts;
  for (int round = 0; round < 60; ++round) {
    int ticks = 0;
    node.sent.clear();
    while (node.Sent<PreVoteRequest>().empty()) {
      node.Tick();
      ++ticks;
    }
    timeouts.insert(ticks);
  }
  EXPECT_GE(*timeouts.begin(), 10);
  EXPECT_LT(*timeouts.rbegin(), 20);
  EXPECT_GT(timeouts.size(), 5u);
}

TEST(Paper52, ALeaderSendsHeartbeatsEveryInterval) {
  OneCore node({1, 2, 3});
  node.BecomeLeader();
  node.sent.clear();
  node.Tick(2);
  EXPECT_EQ(node.Sent<Heartbeat>().size(), 2u);
  node.Tick(1);
  EXPECT_EQ(node.Sent<Heartbeat>().size(), 0u);
}

TEST(Paper52, OneVoteATermFirstComeFirstServed) {
  OneCore node({1, 2, 3});
  node.From(2, 1, VoteRequest{LogIndex(0), Term(0), false});
  node.From(3, 1, VoteRequest{LogIndex(0), Term(0), false});
  node.From(2, 1, VoteRequest{LogIndex(0), Term(0), false});
  node.Sync();
  const std::vector<Message> replies = node.Sent<VoteReply>();
  ASSERT_EQ(replies.size(), 3u);
  EXPECT_TRUE(std::get<VoteReply>(replies[0].body).granted);
  EXPECT_FALSE(std::get<VoteReply>(replies[1].body).granted);
  EXPECT_TRUE(std::get<VoteReply>(replies[2].body).granted) << "the same candidate may ask again";
}

TEST(Paper52, AVoteLeavesOnlyWithTheBatchThatHoldsIt) {
  OneCore node({1, 2, 3});
  node.From(2, 4, VoteRequest{LogIndex(0), Term(0), false});
  EXPECT_TRUE(node.sent.empty());
  ASSERT_EQ(node.writes.size(), 1u);
  ASSERT_TRUE(node.writes[0].hard_state.has_value());
  EXPECT_EQ(node.writes[0].hard_state->term, Term(4));
  EXPECT_EQ(node.writes[0].hard_state->vote, MemberId(2));
  EXPECT_EQ(node.writes[0].send_after.size(), 1u);
}

TEST(Paper52, ACandidateCountsItselfOnlyOnceItsVoteIsDurable) {
  OneCore node({1, 2, 3});
  node.Tick(20);
  node.From(2, 1, PreVoteReply{true});
  ASSERT_EQ(node.core->role(), Role::kCandidate);
  EXPECT_TRUE(node.Sent<VoteRequest>().empty()) << "requests wait for the disk as well";
  node.From(2, 1, VoteReply{true});
  EXPECT_EQ(node.core->role(), Role::kCandidate);
  node.Sync();
  EXPECT_EQ(node.core->role(), Role::kLeader);
}

TEST(Paper52, ACandidateYieldsToALeaderOfItsTerm) {
  OneCore node({1, 2, 3});
  node.Tick(20);
  node.From(2, 1, PreVoteReply{true});
  node.From(3, 1, MakeAppend(0, 0, 0));
  EXPECT_EQ(node.core->role(), Role::kFollower);
  EXPECT_EQ(node.core->leader(), MemberId(3));
  EXPECT_EQ(node.status().vote, MemberId(1)) << "its vote in this term stays given";
}

TEST(Paper52, AMajorityAgainstACandidateEndsItsCandidacy) {
  OneCore node({1, 2, 3, 4, 5});
  node.Tick(20);
  for (uint64_t id : {2, 3}) node.From(id, 1, PreVoteReply{true});
  node.Sync();
  for (uint64_t id : {2, 3, 4}) node.From(id, 1, VoteReply{false});
  EXPECT_EQ(node.core->role(), Role::kFollower);
  EXPECT_EQ(node.core->term(), Term(1));
}

// ---- 5.3 Replication
// -----------------------------------------------------------------------------

TEST(Paper53, ALeaderSendsInParallelWithItsOwnDisk) {
  OneCore node({1, 2, 3});
  node.BecomeLeader();
  node.Ack(2, 1);
  node.sent.clear();
  node.Propose("x");
  EXPECT_FALSE(node.Sent<AppendRequest>().empty());
  ASSERT_FALSE(node.writes.empty()) << "its own write is still under way";
  EXPECT_EQ(node.writes.back().entries.size(), 1u);
}

TEST(Paper53, AnEntryCommitsOnceAMajorityHoldsItDurably) {
  OneCore node({1, 2, 3});
  node.BecomeLeader();
  node.Ack(2, 1);
  EXPECT_EQ(node.core->commit(), LogIndex(1));
  node.Propose("x");
  node.Ack(2, 2);
  EXPECT_EQ(node.core->commit(), LogIndex(1)) << "the leader's own disk has not answered";
  node.Sync();
  EXPECT_EQ(node.core->commit(), LogIndex(2));
}

TEST(Paper53, TwoFollowersCommitWithoutTheLeadersDiskButItAppliesNothingEarly) {
  OneCore node({1, 2, 3});
  node.BecomeLeader();
  node.Ack(2, 1);
  node.batches.clear();
  node.Propose("x");
  node.Ack(2, 2);
  node.Ack(3, 2);
  EXPECT_EQ(node.core->commit(), LogIndex(2));
  EXPECT_TRUE(node.batches.empty());
  node.Sync();
  ASSERT_EQ(node.batches.size(), 1u);
  EXPECT_EQ(node.batches[0].entries.back().index, LogIndex(2));
}

TEST(Paper53, AFollowerAcknowledgesOnlyWhatIsDurable) {
  OneCore node({1, 2, 3});
  node.From(2, 1, MakeAppend(0, 0, 0, {MakeEntry(1, 1), MakeEntry(2, 1)}));
  EXPECT_TRUE(node.sent.empty());
  node.Sync();
  const auto reply = node.Last<AppendReply>();
  EXPECT_TRUE(reply.success);
  EXPECT_EQ(reply.index, LogIndex(2));
}

TEST(Paper53, AnAcknowledgementWithNothingToWriteWaitsForTheWritesBeforeIt) {
  OneCore node({1, 2, 3});
  node.From(2, 1, MakeAppend(0, 0, 0, {MakeEntry(1, 1)}));
  node.From(2, 1, MakeAppend(1, 1, 0));
  ASSERT_EQ(node.writes.size(), 2u);
  EXPECT_TRUE(node.writes[1].empty());
  EXPECT_EQ(node.writes[1].send_after.size(), 1u);
  EXPECT_EQ(node.writes[1].ticket.sequence, node.writes[0].ticket.sequence + 1);
}

TEST(Paper53, AFollowerRefusesAGapWithAHintThatSkipsTerms) {
  OneCore node({1, 2, 3}, {1, 1, 4, 4, 4});
  node.From(2, 6, MakeAppend(5, 3, 0));
  node.Sync();
  const auto reply = node.Last<AppendReply>();
  EXPECT_FALSE(reply.success);
  EXPECT_EQ(reply.index, LogIndex(5));
  EXPECT_EQ(reply.hint_index, LogIndex(2));
  EXPECT_EQ(reply.hint_term, Term(1));
}

TEST(Paper53, ConflictingEntriesAreReplacedAndMatchingOnesKept) {
  OneCore node({1, 2, 3}, {1, 1, 2, 2});
  node.From(2, 3, MakeAppend(1, 1, 0, {MakeEntry(2, 1), MakeEntry(3, 3)}));
  ASSERT_EQ(node.writes.size(), 1u);
  EXPECT_EQ(node.writes[0].truncate_from, LogIndex(3));
  ASSERT_EQ(node.writes[0].entries.size(), 1u);
  EXPECT_EQ(node.status().last, LogIndex(3));
}

TEST(Paper53, ALateAppendCutsNothing) {
  OneCore node({1, 2, 3}, {1, 1, 1, 1}, /*term=*/1);
  node.From(2, 1, MakeAppend(0, 0, 0, {MakeEntry(1, 1), MakeEntry(2, 1)}));
  EXPECT_EQ(node.status().last, LogIndex(4));
}

TEST(Paper53, AFollowerCommitsNoFurtherThanTheAppendVerified) {
  OneCore node({1, 2, 3}, {1, 1, 1, 1}, /*term=*/2);
  node.From(2, 2, MakeAppend(1, 1, /*commit=*/4, {MakeEntry(2, 1)}));
  EXPECT_EQ(node.core->commit(), LogIndex(2));
}

TEST(Paper53, HeartbeatsNeverCarryMoreThanTheFollowerIsKnownToHold) {
  OneCore node({1, 2, 3});
  node.BecomeLeader();
  node.Propose("x");
  node.Sync();
  node.Ack(2, 2);
  node.sent.clear();
  node.Tick(2);
  for (const Message& message : node.Sent<Heartbeat>()) {
    const LogIndex commit = std::get<Heartbeat>(message.body).commit;
    EXPECT_EQ(commit, message.to == MemberId(2) ? LogIndex(2) : LogIndex(0));
  }
}

TEST(Paper53, AHeartbeatPastTheEndOfTheLogTellsOfLostEntries) {
  OneCore node({1, 2, 3}, {1});
  EXPECT_DEATH(node.From(2, 1, Heartbeat{LogIndex(5), ReadId()}), "new member id");
}

TEST(Paper53, TwoLeadersInATermStopTheNode) {
  OneCore node({1, 2, 3});
  node.From(2, 1, MakeAppend(0, 0, 0));
  EXPECT_DEATH(node.From(3, 1, MakeAppend(0, 0, 0)), "two leaders");
}

TEST(Paper53, CommittedEntriesAreHandedOutInPagesAndFetchedWhenNotInMemory) {
  Options options;
  options.apply_inflight_bytes_max = 1;
  options.cache_bytes_max = 1;
  OneCore node({1, 2, 3}, {1, 1, 1}, 1, options);
  node.From(2, 1, MakeAppend(3, 1, 3));
  ASSERT_EQ(node.fetches.size(), 1u);
  EXPECT_EQ(node.fetches[0].from, LogIndex(1));
  EXPECT_TRUE(node.batches.empty());
  node.Step(Fetched{node.fetches[0].fetch_id, {MakeEntry(1, 1)}});
  ASSERT_EQ(node.batches.size(), 1u);
  EXPECT_EQ(node.fetches.size(), 1u) << "the next page waits for this one";
  node.Step(Applied{LogIndex(1)});
  EXPECT_EQ(node.fetches.size(), 2u);
}

// ---- 5.4 Safety
// ----------------------------------------------------------------------------------

TEST(Paper54, AVoterRefusesALogLessCompleteThanItsOwn) {
  struct Case {
    uint64_t last_term, last;
    bool granted;
  };
  for (const Case& c : {Case{2, 9, false}, Case{3, 2, false}, Case{3, 3, true}, Case{4, 1, true}}) {
    OneCore node({1, 2, 3}, {1, 2, 3});
    node.From(2, 5, VoteRequest{LogIndex(c.last), Term(c.last_term), false});
    node.Sync();
    EXPECT_EQ(node.Last<VoteReply>().granted, c.granted) << c.last_term << "/" << c.last;
  }
}

TEST(Paper54, EntriesOfEarlierTermsCommitOnlyBelowOneOfThisTerm) {
  OneCore node({1, 2, 3}, {1, 2});
  node.BecomeLeader();
  node.Ack(2, 2);
  EXPECT_EQ(node.core->commit(), LogIndex(0));
  node.Ack(2, 3);
  EXPECT_EQ(node.core->commit(), LogIndex(3));
}

TEST(Paper54, TheStoredCommitIndexIsNotTrustedPastTheEndOfTheLog) {
  Rng rng(1);
  InitialState initial;
  initial.config = MakeConfig({1, 2});
  initial.hard_state = {Term(1), MemberId(), LogIndex(9)};
  initial.log = {MakeEntry(1, 1)};
  Options options;
  options.self = MemberId(1);
  RaftCore core(options, initial, &rng);
  EXPECT_EQ(core.commit(), LogIndex(1));
}

TEST(Paper54, AnImpossibleStartIsRefused) {
  Rng rng(1);
  Options options;
  options.self = MemberId(1);
  InitialState ahead;
  ahead.config = MakeConfig({1});
  ahead.applied = LogIndex(3);
  EXPECT_DEATH(RaftCore(options, ahead, &rng), "past the end of the log");
  InitialState hole;
  hole.config = MakeConfig({1});
  hole.hard_state.term = Term(1);
  hole.log = {MakeEntry(1, 1), MakeEntry(3, 1)};
  EXPECT_DEATH(RaftCore(options, hole, &rng), "hole in the log");
}

// ---- 7 Snapshots
// ---------------------------------------------------------------------------------

SnapshotMeta MakeMeta(uint64_t index, uint64_t term) {
  return {LogIndex(index), Term(term), MakeConfig({1, 2, 3}), LogIndex(0)};
}

TEST(Paper7, ASnapshotReplacesALogThatDoesNotHoldItAndVoidsWhatIsUnderApply) {
  OneCore node({1, 2, 3}, {1, 1}, 1);
  node.From(2, 3, MakeAppend(2, 1, 1));
  node.batches.clear();
  node.Sync();
  node.From(2, 3, SnapshotOffer{MakeMeta(9, 3)});
  ASSERT_EQ(node.installs.size(), 1u);
  node.Step(SnapshotReady{MakeMeta(9, 3)});
  ASSERT_EQ(node.writes.size(), 1u);
  EXPECT_EQ(node.writes[0].reset_to, MakeMeta(9, 3));
  ASSERT_TRUE(node.writes[0].hard_state.has_value());
  EXPECT_EQ(node.writes[0].hard_state->commit, LogIndex(9));
  EXPECT_TRUE(node.sent.empty() || node.Sent<AppendReply>().size() == 1)
      << "only the first append's";
  node.Step(Applied{LogIndex(1)});  // from before; void
  EXPECT_EQ(node.status().applied, LogIndex(9));
  node.sent.clear();
  node.Sync();
  EXPECT_EQ(node.Last<AppendReply>().index, LogIndex(9));
  EXPECT_EQ(node.status().first, LogIndex(10));
}

TEST(Paper7, ASnapshotThatTheLogHoldsOnlyAdvancesTheCommitIndex) {
  OneCore node({1, 2, 3}, {1, 1, 2, 2}, 2);
  node.From(2, 2, SnapshotOffer{MakeMeta(3, 2)});
  EXPECT_TRUE(node.installs.empty());
  EXPECT_EQ(node.core->commit(), LogIndex(3));
  EXPECT_EQ(node.status().last, LogIndex(4)) << "what follows the snapshot stays";
  node.Sync();
  EXPECT_EQ(node.Last<AppendReply>().index, LogIndex(3));
}

TEST(Paper7, WhileASnapshotIsOnItsWayGapsAreNotReported) {
  OneCore node({1, 2, 3}, {1}, 1);
  node.From(2, 3, SnapshotOffer{MakeMeta(9, 3)});
  node.From(2, 3, MakeAppend(9, 3, 9));
  node.Sync();
  EXPECT_TRUE(node.Sent<AppendReply>().empty());
  node.Step(SnapshotFailed{});
  node.From(2, 3, MakeAppend(9, 3, 9));
  node.Sync();
  EXPECT_FALSE(node.Last<AppendReply>().success);
}

TEST(Paper7, AFollowerBehindTheLogIsSentOneSnapshotUntilItIsReported) {
  OneCore node({1, 2, 3});
  node.BecomeLeader();
  node.Propose("x");
  node.Sync();
  node.Ack(2, 2);
  node.Step(Applied{LogIndex(2)});
  node.Step(Compact{LogIndex(2)});
  const AppendReply refusal{false, LogIndex(0), LogIndex(0), Term(0)};
  node.Tick(2);
  node.From(3, 1, HeartbeatReply{ReadId()});
  ASSERT_EQ(node.snapshots.size(), 1u);
  EXPECT_EQ(node.snapshots[0].peer, MemberId(3));
  EXPECT_EQ(node.snapshots[0].term, Term(1));
  node.From(3, 1, refusal);
  node.Tick(2);
  node.From(3, 1, HeartbeatReply{ReadId()});
  EXPECT_EQ(node.snapshots.size(), 1u);
  node.Step(SnapshotSent{MemberId(3), false, LogIndex()});
  EXPECT_EQ(node.snapshots.size(), 1u) << "it waits for a sign of life";
  node.Tick(2);
  node.From(3, 1, HeartbeatReply{ReadId()});
  EXPECT_EQ(node.snapshots.size(), 2u);
}

// ---- 3.10 Leadership transfer
// --------------------------------------------------------------------

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

// ---- 4 Membership
// --------------------------------------------------------------------------------

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
  node.Step(ProposeConfig{78, target});
  node.Propose("x");
  node.Sync();
  node.Ack(2, 4);
  EXPECT_EQ(node.core->commit(), LogIndex(3)) << "1 and 2 are no majority of 1, 4 and 5";
  EXPECT_TRUE(node.status().config.joint());
  node.Ack(4, 4);
  EXPECT_EQ(node.core->commit(), LogIndex(4));
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

// ---- 6.4 Reads
// -----------------------------------------------------------------------------------

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
  OneCore node({1, 2, 3});
  node.BecomeLeader();
  node.Ack(2, 1);
  node.Step(ReadBarrier{1});
  node.From(3, 1, ReadIndexRequest{55});
  node.From(2, 2, AppendReply{false, LogIndex(), LogIndex(), Term()});
  ASSERT_EQ(node.dropped.size(), 1u);
  EXPECT_EQ(node.dropped[0].reason, DropReason::kLeadershipLost);
  const auto reply = node.Last<ReadIndexReply>();
  EXPECT_EQ(reply.context, 55u);
  EXPECT_FALSE(reply.ok);
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
  Rng rng(3);  // a restarted node draws on
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

// ---- 9.6 Pre-vote
// --------------------------------------------------------------------------------

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

TEST(Thesis96, ALearnerNeverCampaigns) {
  OneCore node({2, 3});
  node.Tick(100);
  EXPECT_TRUE(node.sent.empty());
  EXPECT_EQ(node.core->role(), Role::kFollower);
}

// ---- The boundary
// --------------------------------------------------------------------------------

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
