// The Raft paper, section by section, one core at a time, message by message.
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "raft/one_core_test_util.h"

namespace cairn::raft {
namespace {

// ---- 5.1 Terms ----------------------------------------------------------------------------------

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

// ---- 5.2 Elections ------------------------------------------------------------------------------

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

// ---- 5.3 Replication ----------------------------------------------------------------------------

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

// ---- 5.4 Safety ---------------------------------------------------------------------------------

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

// ---- 7 Snapshots --------------------------------------------------------------------------------

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
  node.Step(Applied{LogIndex(1)});  // from before the reset; void
  EXPECT_EQ(node.status().applied, LogIndex(9));
  node.sent.clear();
  node.Sync();
  EXPECT_EQ(node.Last<AppendReply>().index, LogIndex(9));
  EXPECT_EQ(node.status().first, LogIndex(10));
}

TEST(Paper7, ASnapshotBringsATermThatIsNewToItsReceiver) {
  OneCore node({1, 2, 3}, {1, 1}, 1);
  node.From(2, 3, SnapshotOffer{MakeMeta(9, 5)});
  ASSERT_EQ(node.installs.size(), 1u);
  node.Sync();
  node.Step(SnapshotReady{MakeMeta(9, 5)});
  ASSERT_EQ(node.writes.size(), 1u);
  EXPECT_EQ(node.writes[0].reset_to, MakeMeta(9, 5));
  ASSERT_TRUE(node.writes[0].hard_state.has_value());
  EXPECT_EQ(node.writes[0].hard_state->term, Term(5)) << "with the log that ends in that term";
  EXPECT_TRUE(node.core->leader().is_none());
  node.sent.clear();
  node.Sync();
  EXPECT_TRUE(node.Sent<AppendReply>().empty()) << "the leader of term 3 is deposed";
  node.From(3, 5, MakeAppend(9, 5, 9));
  node.Sync();
  EXPECT_TRUE(node.Last<AppendReply>().success);
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

// The disk answers a fetch for a follower whose own disk filled up meanwhile, and the log was
// compacted. The entries are there, but not the term of the entry before them. The leader once
// asked its log for that term, and aborted.
TEST(Paper7, AFollowerWhoseEntriesWereCompactedWhileTheDiskReadThemIsSentASnapshot) {
  Options options;
  options.cache_bytes_max = 1;
  OneCore node({1, 2, 3}, {1, 1, 1, 1, 1}, 1, options);
  node.BecomeLeader();
  node.Ack(3, 6);
  node.Sync();
  const auto disk = [&](const Fetch& fetch) {
    Fetched fetched{fetch.fetch_id, {}};
    for (uint64_t i = fetch.from.value(); i < fetch.to.value(); ++i) {
      fetched.entries.push_back(MakeEntry(i, i < 6 ? 1 : 2));
    }
    return fetched;
  };
  while (!node.fetches.empty()) {  // fetches of entries to apply
    const Fetch fetch = node.fetches.front();
    node.fetches.erase(node.fetches.begin());
    node.Step(disk(fetch));
  }
  node.Step(Applied{LogIndex(6)});
  node.Ack(2, 1);
  ASSERT_EQ(node.fetches.size(), 1u);
  EXPECT_EQ(node.fetches[0].from, LogIndex(2));
  const uint64_t term = node.core->term().value();
  node.From(2, term, HeartbeatReply{ReadId(), {.takes_entries = false}});
  node.Step(Compact{LogIndex(6)});
  node.Step(disk(node.fetches[0]));
  EXPECT_TRUE(node.snapshots.empty());
  node.From(2, term, HeartbeatReply{ReadId(), {}});
  ASSERT_EQ(node.snapshots.size(), 1u);
  EXPECT_EQ(node.snapshots[0].peer, MemberId(2));
}

// The follower has installed the previous leader's snapshot, and its report of that was lost. It
// refuses every snapshot of this leader as old, so it would never be sent an append again.
TEST(Paper7, AFollowerThatHoldsMoreThanItsLeaderKnowsIsHeardBesideTheSnapshot) {
  OneCore node({1, 2, 3});
  node.BecomeLeader();
  for (const char* each : {"x", "y", "z"}) node.Propose(each);
  node.Sync();
  node.Ack(2, 4);
  node.Step(Applied{LogIndex(4)});
  node.Step(Compact{LogIndex(2)});
  node.Sent<AppendRequest>();
  node.Tick(2);
  node.From(3, 1, HeartbeatReply{ReadId()});
  ASSERT_EQ(node.snapshots.size(), 1u);
  const auto probe = node.Last<AppendRequest>();
  EXPECT_EQ(probe.prev_index, LogIndex(2)) << "where this log begins";
  EXPECT_TRUE(probe.entries.empty());
  node.Ack(3, 3);
  EXPECT_EQ(node.Last<AppendRequest>().prev_index, LogIndex(3));
  node.Step(SnapshotSent{MemberId(3), false, LogIndex()});
  node.Tick(2);
  node.From(3, 1, HeartbeatReply{ReadId()});
  EXPECT_EQ(node.snapshots.size(), 1u);
}

}  // namespace
}  // namespace cairn::raft
