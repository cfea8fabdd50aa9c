#include "node/result_agreement.h"

#include <gtest/gtest.h>

namespace cairn::node {
namespace {

raft::Configuration Voters(uint64_t count) {
  raft::Configuration config;
  for (uint64_t id = 1; id <= count; ++id) {
    config.voters.insert(MemberId(id));
    config.info[MemberId(id)] = {id, "node" + std::to_string(id), id};
  }
  config.next_member_id = count + 1;
  return config;
}

raft::ResultReport ReportOf(uint64_t first, std::vector<uint64_t> hashes) {
  return {LogIndex(first), std::move(hashes)};
}

// Member 1, which leads `count` voters. Nothing was applied yet.
class Leader {
 public:
  explicit Leader(uint64_t count = 3) {
    agreement.SetSelf(MemberId(1), "old");
    agreement.SetConfig(Voters(count));
    agreement.OnRestored({});
  }
  void Apply(uint64_t index, uint64_t hash) { agreement.OnApplied({LogIndex(index), hash}); }
  void Hear(uint64_t member, uint64_t first, std::vector<uint64_t> hashes) {
    agreement.OnReport(MemberId(member), ReportOf(first, std::move(hashes)));
  }
  ResultAgreement agreement;
};

TEST(ResultAgreement, NothingIsComparedWhileAllBuildsAreTheSame) {
  Leader leader;
  leader.agreement.OnEngine(MemberId(2), "old");
  leader.agreement.OnEngine(MemberId(3), "old");
  leader.Apply(1, 11);
  EXPECT_FALSE(leader.agreement.comparing());
}

TEST(ResultAgreement, AnotherBuildOfAVoterIsComparedAndOneOfALearnerIsNot) {
  Leader leader;
  raft::Configuration config = Voters(3);
  config.voters.erase(MemberId(3));
  config.learners.insert(MemberId(3));
  leader.agreement.SetConfig(config);
  leader.agreement.OnEngine(MemberId(3), "new");
  EXPECT_FALSE(leader.agreement.comparing());
  leader.agreement.SetConfig(Voters(3));
  EXPECT_TRUE(leader.agreement.comparing());
}

TEST(ResultAgreement, AMajorityWithTheSameResultsAgreesAndTheThirdNeedNotBeHeard) {
  Leader leader;
  leader.agreement.OnEngine(MemberId(2), "new");
  leader.Apply(1, 11);
  leader.Apply(2, 12);
  EXPECT_FALSE(leader.agreement.Judge());
  EXPECT_EQ(leader.agreement.agreed(), LogIndex());
  leader.Hear(2, 1, {11});
  EXPECT_TRUE(leader.agreement.Judge());
  EXPECT_EQ(leader.agreement.agreed(), LogIndex(1));
  leader.Hear(2, 2, {12});
  EXPECT_TRUE(leader.agreement.Judge());
  EXPECT_EQ(leader.agreement.agreed(), LogIndex(2));
  EXPECT_FALSE(leader.agreement.wrong_at());
}

// The bad schedule without this: a node of the old build is lost for good, and every write waits
// for the other nodes to report, for as long as the lost one is a member.
TEST(ResultAgreement, AVoterThatIsSilentForLongCountsWithNoBuildUntilItIsHeard) {
  Leader leader;
  leader.agreement.OnEngine(MemberId(2), "new");
  leader.Apply(1, 11);
  leader.agreement.SetSilent({MemberId(2)});
  EXPECT_TRUE(leader.agreement.comparing()) << "what was done until now is not agreed yet";
  leader.Hear(3, 1, {11});
  EXPECT_TRUE(leader.agreement.Judge());
  EXPECT_FALSE(leader.agreement.comparing());
  leader.agreement.OnHeard(MemberId(2));
  EXPECT_TRUE(leader.agreement.comparing());
  leader.agreement.SetSilent({MemberId(2)});
  leader.agreement.OnEngine(MemberId(2), "newer");
  EXPECT_TRUE(leader.agreement.comparing());
}

// Followers do not hear each other, so a follower needs its leader to know that builds differ.
TEST(ResultAgreement, AFollowerComparesOnAfterItsLeaderUntilTheNextLeaderSaysOtherwise) {
  ResultAgreement follower;
  follower.SetSelf(MemberId(2), "old");
  follower.SetConfig(Voters(3));
  follower.OnRestored({});
  follower.OnVerdict({LogIndex(), 0, true}, /*from_leader=*/true);
  follower.OnLeaderChanged(/*leads=*/false);
  follower.OnApplied({LogIndex(1), 11});
  EXPECT_TRUE(follower.comparing());
  follower.OnVerdict({LogIndex(1), 11, false}, /*from_leader=*/true);
  EXPECT_FALSE(follower.comparing());
}

TEST(ResultAgreement, TwoVotersThatDifferAreDividedAtTheFirstEntryForGood) {
  Leader leader(2);
  leader.agreement.OnEngine(MemberId(2), "new");
  for (uint64_t i = 1; i <= 4; ++i) leader.Apply(i, 10 + i);
  leader.Hear(2, 1, {11, 12, 93, 94});
  EXPECT_TRUE(leader.agreement.Judge());
  EXPECT_EQ(leader.agreement.agreed(), LogIndex(2)) << "they were of one mind until then";
  EXPECT_FALSE(leader.agreement.Judge());
  const auto division = leader.agreement.Divided();
  ASSERT_TRUE(division);
  EXPECT_EQ(division->index, LogIndex(3));
  EXPECT_EQ(division->sides.at(13), std::set<MemberId>{MemberId(1)});
  EXPECT_EQ(division->sides.at(93), std::set<MemberId>{MemberId(2)});
  EXPECT_TRUE(division->final);
}

TEST(ResultAgreement, AThirdVoterThatHasNotToldStillDecides) {
  Leader leader;
  leader.agreement.OnEngine(MemberId(2), "new");
  leader.Apply(1, 11);
  leader.Hear(2, 1, {91});
  const auto division = leader.agreement.Divided();
  ASSERT_TRUE(division);
  EXPECT_FALSE(division->final);
  EXPECT_EQ(division->untold, std::set<MemberId>{MemberId(3)});
  leader.Hear(3, 1, {11});
  EXPECT_TRUE(leader.agreement.Judge());
  EXPECT_FALSE(leader.agreement.Divided());
}

TEST(ResultAgreement, FourVotersThatAreSplitEvenlyAreDividedForGood) {
  Leader leader(4);
  leader.agreement.OnEngine(MemberId(2), "new");
  leader.Apply(1, 11);
  leader.Hear(2, 1, {91});
  leader.Hear(3, 1, {91});
  EXPECT_FALSE(leader.agreement.Divided()->final) << "three of four can still agree";
  leader.Hear(4, 1, {11});
  EXPECT_TRUE(leader.agreement.Divided()->final);
}

// `doubt` names them. Builds need not differ: the leader has only restarted.
TEST(ResultAgreement, WhoAcknowledgesButDoesNotApplyIsBehind) {
  Leader leader;
  leader.agreement.OnRestored({LogIndex(5), 15});
  EXPECT_TRUE(leader.agreement.comparing());
  EXPECT_FALSE(leader.agreement.builds_differ());
  leader.Hear(2, 3, {13});
  EXPECT_FALSE(leader.agreement.Judge());
  EXPECT_EQ(leader.agreement.Behind(), (std::vector<MemberId>{MemberId(2), MemberId(3)}));
  leader.Hear(2, 5, {15});
  EXPECT_TRUE(leader.agreement.Judge());
  EXPECT_FALSE(leader.agreement.comparing());
  EXPECT_EQ(leader.agreement.Behind(), (std::vector<MemberId>{MemberId(3)}));
}

TEST(ResultAgreement, ALeaderThatIsOutvotedIsWrongAndAgreesToNothing) {
  Leader leader;
  leader.agreement.OnEngine(MemberId(2), "new");
  leader.Apply(1, 11);
  leader.Hear(2, 1, {99});
  EXPECT_FALSE(leader.agreement.Judge());
  leader.Hear(3, 1, {99});
  EXPECT_TRUE(leader.agreement.Judge());
  EXPECT_EQ(leader.agreement.wrong_at(), LogIndex(1));
  EXPECT_EQ(leader.agreement.agreed(), LogIndex());
}

TEST(ResultAgreement, WithoutAMajorityNobodyIsWrong) {
  Leader leader;
  leader.agreement.OnEngine(MemberId(2), "new");
  leader.Apply(1, 11);
  leader.Hear(2, 1, {22});
  leader.Hear(3, 1, {33});
  EXPECT_FALSE(leader.agreement.Judge());
  EXPECT_FALSE(leader.agreement.wrong_at());
}

TEST(ResultAgreement, AFollowerThatDiffersIsWrongOnceItHasAppliedWhatIsAgreed) {
  ResultAgreement follower;
  follower.SetSelf(MemberId(2), "new");
  follower.SetConfig(Voters(3));
  follower.OnRestored({});
  follower.OnEngine(MemberId(1), "old");
  follower.OnVerdict({LogIndex(2), 12, true}, /*from_leader=*/true);
  follower.OnVerdict({LogIndex(4), 14, true}, /*from_leader=*/true);
  follower.OnVerdict({LogIndex(5), 15, true}, /*from_leader=*/true);
  follower.OnApplied({LogIndex(1), 11});
  EXPECT_EQ(follower.agreed(), LogIndex());
  follower.OnApplied({LogIndex(2), 12});
  EXPECT_EQ(follower.agreed(), LogIndex(2));
  follower.OnApplied({LogIndex(3), 99});
  follower.OnApplied({LogIndex(4), 98});
  EXPECT_FALSE(follower.wrong_at());
  follower.OnApplied({LogIndex(5), 97});
  EXPECT_EQ(follower.wrong_at(), LogIndex(5));
  EXPECT_EQ(follower.agreed(), LogIndex(2));
}

TEST(ResultAgreement, WhatWasDoneWhileBuildsDifferedIsAgreedBeforeTheComparisonEnds) {
  Leader leader;
  leader.agreement.OnEngine(MemberId(2), "new");
  leader.Apply(1, 11);
  leader.agreement.OnEngine(MemberId(2), "old");
  EXPECT_TRUE(leader.agreement.comparing());
  leader.Hear(2, 1, {11});
  EXPECT_TRUE(leader.agreement.Judge());
  EXPECT_FALSE(leader.agreement.comparing());
}

TEST(ResultAgreement, AMemberThatHasStartedComparesUntilItsStateIsAgreed) {
  ResultAgreement member;
  member.SetSelf(MemberId(2), "old");
  member.SetConfig(Voters(3));
  member.OnRestored({LogIndex(7), 77});
  EXPECT_TRUE(member.comparing());
  member.OnVerdict({LogIndex(7), 77, false}, /*from_leader=*/true);
  EXPECT_FALSE(member.comparing());
}

TEST(ResultAgreement, AReportHoldsWhatFollowsTheLastOneAndAtLeastTheLastEntry) {
  ResultAgreement member;
  member.SetSelf(MemberId(2), "new");
  member.SetConfig(Voters(3));
  member.OnRestored({});
  for (uint64_t i = 1; i <= 3; ++i) member.OnApplied({LogIndex(i), 10 + i});
  EXPECT_EQ(member.Report(LogIndex(1)).first, LogIndex(2));
  EXPECT_EQ(member.Report(LogIndex(1)).hashes, (std::vector<uint64_t>{12, 13}));
  EXPECT_EQ(member.Report(LogIndex(3)).first, LogIndex(3));
  EXPECT_EQ(member.Report(LogIndex(3)).hashes, (std::vector<uint64_t>{13}));
}

TEST(ResultAgreement, InAJointConfigurationBothMajoritiesMustAgree) {
  Leader leader(5);
  raft::Configuration joint = Voters(5);
  joint.voters = {MemberId(1), MemberId(2), MemberId(3)};
  joint.outgoing = {MemberId(1), MemberId(4), MemberId(5)};
  leader.agreement.SetConfig(joint);
  leader.agreement.OnEngine(MemberId(2), "new");
  leader.Apply(1, 11);
  leader.Hear(2, 1, {11});
  EXPECT_FALSE(leader.agreement.Judge());
  leader.Hear(4, 1, {11});
  EXPECT_TRUE(leader.agreement.Judge());
}

TEST(ResultAgreement, WhatAMemberToldOfADatabaseThatWasReplacedCountsNoMore) {
  Leader leader;
  leader.agreement.OnEngine(MemberId(2), "new");
  leader.Apply(1, 11);
  leader.Apply(2, 12);
  leader.Hear(2, 1, {91, 12});
  leader.Hear(2, 1, {11});
  EXPECT_TRUE(leader.agreement.Judge());
  EXPECT_EQ(leader.agreement.agreed(), LogIndex(1));
}

}  // namespace
}  // namespace cairn::node
