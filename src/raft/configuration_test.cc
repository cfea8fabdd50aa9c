#include "raft/configuration.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>

#include "raft/cluster_test_util.h"
#include "raft/configuration_codec.h"
#include "raft/quorum.h"

namespace cairn::raft {
namespace {

// Members 1..6 with a role each: 0 none, 1 voter, 2 learner; at least one voter.
Configuration FromRoles(const std::vector<int>& roles) {
  std::set<uint64_t> voters, learners;
  for (size_t i = 0; i < roles.size(); ++i) {
    if (roles[i] == 1) voters.insert(i + 1);
    if (roles[i] == 2) learners.insert(i + 1);
  }
  if (voters.empty()) {
    voters.insert(1);
    learners.erase(1);
  }
  Configuration config = MakeConfig(voters, learners);
  config.next_member_id = 7;
  return config;
}

Configuration AnyConfig() {
  return FromRoles(*rc::gen::container<std::vector<int>>(6, rc::gen::inRange(0, 3)));
}

// True if two disjoint sets of members can decide, one by `a` and one by `b`.
bool DisjointQuorums(const Configuration& a, const Configuration& b) {
  for (uint64_t bits = 0; bits < 64; ++bits) {
    std::map<MemberId, bool> in, out;
    for (uint64_t i = 0; i < 6; ++i) {
      in[MemberId(i + 1)] = (bits >> i & 1) != 0;
      out[MemberId(i + 1)] = (bits >> i & 1) == 0;
    }
    if (CountVotes(a, in) == VoteResult::kWon && CountVotes(b, out) == VoteResult::kWon)
      return true;
  }
  return false;
}

RC_GTEST_PROP(Configuration, EveryStepOfALegalChangeOverlapsTheOneBefore, ()) {
  const Configuration current = AnyConfig();
  const Configuration target = AnyConfig();
  if (CheckChange(current, target)) return;
  const Configuration entered = EnterChange(current, target);
  RC_ASSERT(!CheckConfiguration(entered));
  RC_ASSERT(!DisjointQuorums(current, entered));
  if (entered.joint()) {
    const Configuration left = LeaveJoint(entered);
    RC_ASSERT(left == target);
    RC_ASSERT(!DisjointQuorums(entered, left));
  } else {
    RC_ASSERT(entered == target);
  }
}

RC_GTEST_PROP(Configuration, OneEncodingThatDecodesToTheSame, ()) {
  const Configuration current = AnyConfig();
  Configuration config = AnyConfig();
  if (!CheckChange(current, config)) config = EnterChange(current, config);
  const std::string bytes = EncodeConfiguration(config);
  RC_ASSERT(DecodeConfiguration(bytes) == config);
  for (size_t size = 0; size < bytes.size(); ++size) {
    RC_ASSERT(!DecodeConfiguration(std::string_view(bytes).substr(0, size)));
  }
  RC_ASSERT(!DecodeConfiguration(bytes + "x"));
}

// The example in docs/internals/wire_format.md.
TEST(Configuration, TheBytesAreThoseOfTheSpecification) {
  Configuration config;
  EXPECT_EQ(EncodeConfiguration(config), std::string("\2\0\0\0\0\0\1", 7));
  config.voters.insert(MemberId(1));
  config.info[MemberId(1)] = {1, "localhost:1", 7, {3, 9}};
  config.next_member_id = 2;
  EXPECT_EQ(EncodeConfiguration(config),
            std::string("\2\1\1\0\0\0\1\1\1\x0blocalhost:1\7\0\0\0\0\0\0\0"
                        "\3\t\0\0\0\0\0\0\0\2",
                        39));
}

TEST(Configuration, TheEncodingOfVersion01IsReadAsOneWithoutBoots) {
  Configuration config;
  EXPECT_EQ(DecodeConfiguration(std::string("\1\0\0\0\0\0\1", 7)), config);
  config.voters.insert(MemberId(1));
  config.info[MemberId(1)] = {1, "localhost:1", 7};
  config.next_member_id = 2;
  EXPECT_EQ(
      DecodeConfiguration(std::string("\1\1\1\0\0\0\1\1\1\x0blocalhost:1\7\0\0\0\0\0\0\0\2", 30)),
      config);
}

RC_GTEST_PROP(Configuration, ArbitraryBytesNeverCrashTheDecoder, (const std::string& bytes)) {
  const std::optional<Configuration> config = DecodeConfiguration("\x02" + bytes);
  if (config) RC_ASSERT(EncodeConfiguration(*config) == "\x02" + bytes);
}

TEST(Configuration, RefusesWhatIsIllegalAndSaysWhy) {
  const Configuration current = MakeConfig({1, 2, 3}, {4});
  const auto why = [&](const Configuration& target) {
    return CheckChange(current, target).value_or("legal");
  };
  Configuration target = MakeConfig({1, 2, 3, 4});
  EXPECT_EQ(why(target), "legal");
  target = Configuration();
  target.next_member_id = 5;
  EXPECT_EQ(why(target), "there are no voters");
  EXPECT_EQ(why(MakeConfig({1, 2, 3, 5})), "member 5 must be a learner before it becomes a voter");
  EXPECT_EQ(why(MakeConfig({1, 2, 3})), "the next member id would go back");
  target = MakeConfig({1, 2, 3}, {4, 5});
  target.info[MemberId(5)].node_id = 4;
  EXPECT_EQ(why(target), "two members have the node id 4");
  target = MakeConfig({1, 2, 3}, {3, 4});
  EXPECT_EQ(why(target), "member 3 is both voter and learner");
  target = MakeConfig({1, 2, 3}, {4});
  target.info.erase(MemberId(4));
  EXPECT_EQ(why(target), "members and their descriptions differ");
}

TEST(Configuration, AMemberIdIsNeverUsedTwice) {
  Configuration current = MakeConfig({1, 2});
  current.next_member_id = 9;
  Configuration target = MakeConfig({1, 2}, {5});
  target.next_member_id = 9;
  EXPECT_TRUE(CheckChange(current, target).has_value());
  target = MakeConfig({1, 2}, {9});
  EXPECT_FALSE(CheckChange(current, target).has_value());
}

TEST(Configuration, ADemotedVoterStaysInTheOutgoingHalfUntilTheJointStateEnds) {
  const Configuration joint = EnterChange(MakeConfig({1, 2, 3}), MakeConfig({1, 2}, {3}));
  EXPECT_TRUE(joint.outgoing.contains(MemberId(3)));
  EXPECT_TRUE(joint.learners_next.contains(MemberId(3)));
  EXPECT_FALSE(joint.learners.contains(MemberId(3)));
  EXPECT_TRUE(LeaveJoint(joint).learners.contains(MemberId(3)));
}

}  // namespace
}  // namespace cairn::raft
