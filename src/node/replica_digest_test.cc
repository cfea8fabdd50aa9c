// Members that do not hold what they should are found, fenced and rebuilt by themselves.
#include <gtest/gtest.h>

#include <algorithm>

#include "node/digest_watch.h"
#include "node/fence_file.h"
#include "node/replica.h"
#include "node/replica_core_test_util.h"
#include "node/replica_test_util.h"

namespace cairn::node {
namespace {

using namespace std::chrono_literals;  // NOLINT

constexpr auto kDigestEvery = 100ms;

class Digests : public testing::Test {
 protected:
  void Start(int n) {
    size_ = static_cast<uint64_t>(n);
    cluster_ = std::make_unique<TestCluster>(n);
    for (int id = 1; id <= n; ++id) {
      cluster_->node(static_cast<uint64_t>(id)).options.digest_every = kDigestEvery;
    }
    cluster_->StartAll();
    for (int i = 0; i < 5; ++i) cluster_->Write(std::to_string(i));
    for (uint64_t id = 1; id <= size_; ++id) ASSERT_TRUE(cluster_->Barrier(id).ok());
  }
  DigestStatus digests(uint64_t id) { return cluster_->replica(id).status().digests; }
  ListStateMachine& state(uint64_t id) { return *cluster_->node(id).state; }
  // Digests are proposed only after something was applied. A node that is fenced while it leads
  // does not know what becomes of its writes.
  bool WriteUntil(const std::function<bool()>& condition) {
    return Eventually([&] {
      for (uint64_t id = 1; id <= 3; ++id) {
        if (id <= size_ && cluster_->replica(id).is_leader()) (void)cluster_->Propose(id, "w", 1s);
      }
      return condition();
    });
  }
  bool AllEqual(uint64_t n) {
    for (uint64_t id = 2; id <= n; ++id) {
      if (state(id).items() != state(1).items()) return false;
    }
    return true;
  }

  uint64_t size_ = 0;
  std::unique_ptr<TestCluster> cluster_;
};

TEST_F(Digests, OfEqualMembersAreFoundEqualAndAnIdleClusterMakesNone) {
  Start(3);
  for (uint64_t id = 1; id <= 3; ++id) {
    ASSERT_TRUE(Eventually([&] { return digests(id).right_index.value() > 0; })) << id;
  }
  // The digest entry itself does not call for another digest.
  ASSERT_TRUE(Eventually([&] {
    const LogIndex applied = cluster_->replica(1).status().core.applied;
    return digests(1).right_index == applied && digests(2).right_index == applied &&
           digests(3).right_index == applied;
  }));
  const LogIndex last = cluster_->replica(1).status().core.last;
  const uint64_t scrubs = digests(2).scrubs;
  ASSERT_TRUE(Eventually([&] { return digests(2).scrubs > scrubs + 1; })) << "scrubs go on";
  EXPECT_EQ(cluster_->replica(1).status().core.last, last);
  for (uint64_t id = 1; id <= 3; ++id) {
    EXPECT_EQ(digests(id).fences, 0u);
    EXPECT_EQ(digests(id).differences, 0u);
    EXPECT_EQ(digests(id).doubt, "");
  }
}

TEST_F(Digests, AMemberThatDivergedIsFencedAndRebuiltAlsoIfItLeads) {
  for (const bool leads : {false, true}) {
    SCOPED_TRACE(leads);
    Start(3);
    const uint64_t leader = cluster_->AwaitLeader();
    const uint64_t wrong = leads ? leader : leader % 3 + 1;
    state(wrong).Diverge();
    ASSERT_TRUE(WriteUntil([&] { return state(wrong).installs() > 0; }));
    ASSERT_TRUE(Eventually([&] { return cluster_->replica(wrong).status().trouble.ok(); }));
    EXPECT_EQ(digests(wrong).fences, 1u);
    EXPECT_FALSE(cluster_->replica(wrong).status().fenced);
    cluster_->Write("after");
    EXPECT_TRUE(Eventually([&] { return AllEqual(3); }));
    EXPECT_EQ(state(wrong).items().front(), "0");
    ASSERT_TRUE(WriteUntil([&] { return digests(wrong).right_index.value() > 0; }));
    EXPECT_TRUE(cluster_->Barrier(wrong).ok());
    for (uint64_t id = 1; id <= 3; ++id) {
      EXPECT_EQ(digests(id).fences, id == wrong ? 1u : 0u) << id;
    }
  }
}

TEST_F(Digests, AMemberWhoseFileIsDamagedIsFencedAndRebuiltAlsoIfItLeads) {
  for (const bool leads : {false, true}) {
    SCOPED_TRACE(leads);
    Start(3);
    const uint64_t leader = cluster_->AwaitLeader();
    const uint64_t wrong = leads ? leader : leader % 3 + 1;
    state(wrong).Damage();
    // No write is needed for that.
    ASSERT_TRUE(Eventually([&] { return state(wrong).installs() > 0; }));
    ASSERT_TRUE(WriteUntil([&] { return cluster_->replica(wrong).status().trouble.ok(); }));
    EXPECT_EQ(digests(wrong).fences, 1u);
    EXPECT_GE(digests(wrong).scrubs_failed, 1u);
    EXPECT_TRUE(Eventually([&] { return AllEqual(3); }));
  }
}

// The other member waits for a snapshot, which only a leader sends. It would refuse the snapshot of
// a damaged leader for ever, and because it is out of service the damaged leader may not leave.
TEST_F(Digests, ADamagedLeaderHandsOverWhileAnotherMemberWaitsForASnapshot) {
  Start(3);
  const uint64_t damaged = cluster_->AwaitLeader();
  const uint64_t waits = damaged % 3 + 1;
  state(waits).FailInstalls(1000);
  state(waits).Damage();
  ASSERT_TRUE(Eventually([&] { return digests(waits).fences == 1; }));
  state(damaged).Damage();
  ASSERT_TRUE(Eventually([&] { return cluster_->replica(6 - damaged - waits).is_leader(); }));
  EXPECT_EQ(digests(damaged).fences, 0u) << "it stays in service until the other is back";
  state(waits).FailInstalls(0);
  ASSERT_TRUE(WriteUntil([&] { return state(damaged).installs() > 0; }));
  ASSERT_TRUE(WriteUntil([&] { return cluster_->replica(damaged).status().trouble.ok(); }));
  EXPECT_TRUE(cluster_->replica(waits).status().trouble.ok());
  EXPECT_TRUE(Eventually([&] { return AllEqual(3); }));
}

// The first attempt may come before the others have caught up with the leader's log, or may be
// lost.
TEST_F(Digests, AFencedMemberThatLeadsTriesSoonAndAgainToHandOver) {
  Start(3);
  const uint64_t fenced = cluster_->AwaitLeader() % 3 + 1;
  state(fenced).FailInstalls(1000);
  state(fenced).Damage();
  ASSERT_TRUE(Eventually([&] { return cluster_->replica(fenced).status().fenced; }));
  const auto& options = cluster_->node(fenced).options;
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(Eventually([&] { return cluster_->AwaitLeader() != fenced; }));
    (void)cluster_->Transfer(cluster_->AwaitLeader(), fenced);
    const auto led = std::chrono::steady_clock::now();
    ASSERT_TRUE(Eventually([&] { return cluster_->AwaitLeader() != fenced; }));
    const auto until = std::chrono::steady_clock::now();
    EXPECT_LT((until - led) / (options.tick * options.election_ticks), 50);
  }
}

// A scrub that is itself wrong finds the same damage everywhere. The cluster must not go down for
// it.
TEST_F(Digests, NotAllMembersLeaveServiceAtOnceWhenTheScrubsOfAllFindDamage) {
  Start(3);
  for (uint64_t id = 1; id <= 3; ++id) state(id).Damage();
  const auto fenced = [&] {
    int count = 0;
    for (uint64_t id = 1; id <= 3; ++id) count += cluster_->replica(id).status().fenced ? 1 : 0;
    return count;
  };
  int most = 0;
  ASSERT_TRUE(WriteUntil([&] {
    most = std::max(most, fenced());
    return state(1).installs() > 0 && state(2).installs() > 0 && state(3).installs() > 0;
  }));
  EXPECT_EQ(most, 1);
}

TEST_F(Digests, AFencedNodeThatIsStartedAnewStaysFencedUntilItIsRebuilt) {
  Start(3);
  const uint64_t leader = cluster_->AwaitLeader();
  const uint64_t wrong = leader % 3 + 1;
  state(wrong).FailInstalls(1000);
  state(wrong).Diverge();
  ASSERT_TRUE(WriteUntil([&] { return cluster_->replica(wrong).status().fenced; }));
  const std::string directory = cluster_->node(wrong).options.data_directory;
  ASSERT_TRUE(Eventually([&] { return ReadFence(PosixFileSystem(), directory).value() != ""; }));
  cluster_->Kill(wrong);
  cluster_->Isolate(wrong, true);
  ASSERT_TRUE(cluster_->Start(wrong).ok());
  EXPECT_TRUE(cluster_->replica(wrong).status().fenced);
  EXPECT_EQ(cluster_->Barrier(wrong, {ReadLevel::kStale}, 200ms).status().code(),
            StatusCode::kUnavailable);
  state(wrong).FailInstalls(0);
  cluster_->Isolate(wrong, false);
  ASSERT_TRUE(WriteUntil([&] { return !cluster_->replica(wrong).status().fenced; }));
  EXPECT_EQ(ReadFence(PosixFileSystem(), directory).value(), "");
  EXPECT_TRUE(Eventually([&] { return AllEqual(3); }));
}

TEST_F(Digests, OfTwoMembersThatDifferNoneIsFencedAndTheLeaderSaysSo) {
  Start(2);
  const uint64_t leader = cluster_->AwaitLeader();
  state(leader).Diverge();
  ASSERT_TRUE(WriteUntil([&] { return !digests(cluster_->AwaitLeader()).doubt.empty(); }));
  const std::string doubt = digests(cluster_->AwaitLeader()).doubt;
  EXPECT_NE(doubt.find("node 1 has "), std::string::npos) << doubt;
  EXPECT_NE(doubt.find("node 2 has "), std::string::npos) << doubt;
  EXPECT_NE(doubt.find("no majority"), std::string::npos) << doubt;
  EXPECT_EQ(digests(1).fences + digests(2).fences, 0u);
  EXPECT_TRUE(cluster_->Barrier(1).ok());
  EXPECT_TRUE(cluster_->Barrier(2).ok());
}

TEST_F(Digests, OfTwoMembersTheOneWhoseFileIsDamagedIsRebuilt) {
  Start(2);
  const uint64_t wrong = cluster_->AwaitLeader();
  state(wrong).Damage();
  ASSERT_TRUE(WriteUntil([&] { return state(wrong).installs() > 0; }));
  EXPECT_TRUE(WriteUntil([&] { return cluster_->replica(wrong).status().trouble.ok(); }));
}

TEST_F(Digests, ANodeAloneGoesOnWithADamagedFileAndSaysSo) {
  Start(1);
  state(1).Damage();
  ASSERT_TRUE(Eventually([&] { return digests(1).scrubs_failed > 0; }));
  EXPECT_TRUE(
      Eventually([&] { return digests(1).doubt.find("no other node") != std::string::npos; }));
  EXPECT_FALSE(cluster_->replica(1).status().fenced);
  cluster_->Write("on");
}

TEST_F(Digests, ARestoreEndsWhatWasFoundAboutTheOldFile) {
  Start(1);
  const std::string directory = cluster_->node(1).options.data_directory;
  ASSERT_TRUE(RememberFence(PosixFileSystem(), directory, "it was fenced long ago").ok());
  state(1).Damage();
  ASSERT_TRUE(Eventually([&] { return !digests(1).doubt.empty(); }));
  ASSERT_TRUE(
      cluster_->ProposeCommand(1, {.id = {"test", 1000}, .operation = state_machine::Restore{}})
          .ok());
  EXPECT_TRUE(Eventually([&] { return digests(1).doubt.empty(); }));
  EXPECT_EQ(ReadFence(PosixFileSystem(), directory).value(), "");
  const uint64_t scrubs = digests(1).scrubs;
  EXPECT_TRUE(Eventually([&] { return digests(1).scrubs > scrubs + 1; }));
  EXPECT_EQ(digests(1).doubt, "");
}

// ---- The judgement alone

raft::Configuration Voters(uint64_t n) {
  raft::Configuration config;
  for (uint64_t id = 1; id <= n; ++id) {
    config.voters.insert(MemberId(id));
    config.info[MemberId(id)] = {id, "", 0};
  }
  return config;
}

using state_machine::StateDigest;
constexpr StateDigest kGood{1, 2};
constexpr StateDigest kBad{3, 4};

TEST(DigestWatch, AMajorityOfTheVotersIsRightAndOfLearnersNone) {
  raft::Configuration config = Voters(3);
  for (const uint64_t learner : {4, 5, 6}) {
    config.learners.insert(MemberId(learner));
    config.info[MemberId(learner)] = {learner, "", 0};
  }
  DigestWatch watch;
  for (const uint64_t learner : {4, 5, 6}) {
    EXPECT_TRUE(watch.OnReport(MemberId(learner), LogIndex(9), kBad, config).empty());
  }
  EXPECT_TRUE(watch.OnReport(MemberId(1), LogIndex(9), kGood, config).empty());
  EXPECT_FALSE(watch.doubt().empty());
  const auto answers = watch.OnReport(MemberId(2), LogIndex(9), kGood, config);
  ASSERT_EQ(answers.size(), 5u);
  for (const DigestWatch::Answer& answer : answers) EXPECT_EQ(answer.right, kGood);
  EXPECT_TRUE(watch.doubt().empty());
  EXPECT_EQ(watch.differences(), 1u);
  // A member that comes late, or asks again, gets an answer of its own.
  ASSERT_EQ(watch.OnReport(MemberId(3), LogIndex(9), kBad, config).size(), 1u);
  EXPECT_TRUE(watch.OnReport(MemberId(7), LogIndex(9), kBad, config).empty()) << "no member";
}

TEST(DigestWatch, AJointConfigurationNeedsBothMajorities) {
  raft::Configuration config = Voters(3);
  config.outgoing = {MemberId(3), MemberId(4), MemberId(5)};
  config.info[MemberId(4)] = {4, "", 0};
  config.info[MemberId(5)] = {5, "", 0};
  DigestWatch watch;
  EXPECT_TRUE(watch.OnReport(MemberId(1), LogIndex(9), kGood, config).empty());
  EXPECT_TRUE(watch.OnReport(MemberId(2), LogIndex(9), kGood, config).empty());
  EXPECT_TRUE(watch.OnReport(MemberId(4), LogIndex(9), kGood, config).empty());
  EXPECT_EQ(watch.OnReport(MemberId(5), LogIndex(9), kGood, config).size(), 4u);
}

TEST(DigestWatch, HalfOfTheVotersIsNoMajority) {
  const raft::Configuration config = Voters(4);
  DigestWatch watch;
  for (const uint64_t id : {1, 2}) {
    EXPECT_TRUE(watch.OnReport(MemberId(id), LogIndex(9), kGood, config).empty());
  }
  for (const uint64_t id : {3, 4}) {
    EXPECT_TRUE(watch.OnReport(MemberId(id), LogIndex(9), kBad, config).empty());
  }
  EXPECT_FALSE(watch.doubt().empty());
  // Only a few indexes are remembered.
  for (uint64_t i = 10; i < 30; ++i) watch.OnReport(MemberId(1), LogIndex(i), kGood, config);
  EXPECT_TRUE(watch.OnReport(MemberId(2), LogIndex(10), kGood, config).empty());
}

// The Raft core leads as soon as it has the votes. What follows from that is done with the next Flush.
TEST_F(ReplicaCoreTest, ADamagedNodeIsNotFencedInTheMomentInWhichItBeginsToLead) {
  StartMember({1, 2});
  bool votes = false;
  for (int i = 0; i < 200 && !votes; ++i) {
    Tick();
    SendAfterSync();
    votes = std::any_of(effects_.sent.begin(), effects_.sent.end(), [](const raft::Message& m) {
      return std::holds_alternative<raft::VoteRequest>(m.body);
    });
    if (!votes) AnswerAsMember2();
  }
  ASSERT_TRUE(votes);
  core_->OnMessages({}, {raft::Message{MemberId(2), MemberId(1), effects_.sent.back().term,
                                       raft::VoteReply{true}}});
  ASSERT_TRUE(core_->is_leader());
  core_->OnScrubbed(LogIndex(1), DataLoss("a page is damaged"));
  EXPECT_FALSE(core_->status().fenced);
  core_->Flush();
  EXPECT_FALSE(core_->status().fenced);
}

}  // namespace
}  // namespace cairn::node
