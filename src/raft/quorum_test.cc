#include "raft/quorum.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>
#include <set>

namespace cairn::raft {
namespace {

std::set<MemberId> SomeMembers(uint64_t bits) {
  std::set<MemberId> members;
  for (uint64_t i = 0; i < 8; ++i) {
    if ((bits >> i & 1) != 0) members.insert(MemberId(i + 1));
  }
  return members;
}

// Follows the definition: the greatest value that more than half of the voters have reached.
uint64_t SlowMajority(const std::set<MemberId>& voters, std::map<MemberId, uint64_t>& reached) {
  uint64_t best = 0;
  for (MemberId candidate : voters) {
    size_t count = 0;
    for (MemberId id : voters) count += reached[id] >= reached[candidate] ? 1 : 0;
    if (2 * count > voters.size()) best = std::max(best, reached[candidate]);
  }
  return voters.empty() ? UINT64_MAX : best;
}

bool SlowWin(const std::set<MemberId>& voters, const std::map<MemberId, bool>& votes,
             bool the_others) {
  size_t yes = 0;
  for (MemberId id : voters) {
    auto it = votes.find(id);
    yes += (it == votes.end() ? the_others : it->second) ? 1 : 0;
  }
  return voters.empty() || 2 * yes > voters.size();
}

RC_GTEST_PROP(Quorum, ReachesWhatMajoritiesOfBothHalvesReached, (uint8_t in, uint8_t out)) {
  Configuration config;
  config.voters = SomeMembers(in);
  config.outgoing = SomeMembers(out);
  std::map<MemberId, uint64_t> reached;
  for (MemberId id : SomeMembers(255)) reached[id] = *rc::gen::inRange<uint64_t>(0, 6);
  const LogIndex got =
      QuorumReached<LogIndex>(config, [&](MemberId id) { return LogIndex(reached[id]); });
  RC_ASSERT(got.value() ==
            std::min(SlowMajority(config.voters, reached), SlowMajority(config.outgoing, reached)));
}

RC_GTEST_PROP(Quorum, AnElectionIsDecidedOnceTheMissingVotesCannotChangeIt,
              (uint8_t in, uint8_t out, uint8_t answered, uint8_t yes)) {
  Configuration config;
  config.voters = SomeMembers(in);
  config.outgoing = SomeMembers(out);
  std::map<MemberId, bool> votes;
  for (MemberId id : SomeMembers(answered)) votes[id] = SomeMembers(yes).contains(id);
  const auto wins = [&](bool the_others) {
    return SlowWin(config.voters, votes, the_others) && SlowWin(config.outgoing, votes, the_others);
  };
  const VoteResult expected = wins(false)   ? VoteResult::kWon
                              : !wins(true) ? VoteResult::kLost
                                            : VoteResult::kPending;
  RC_ASSERT(CountVotes(config, votes) == expected);
}

TEST(Quorum, OfTwoIsBoth) {
  EXPECT_EQ(CountMajority({MemberId(1), MemberId(2)}, {{MemberId(1), true}}), VoteResult::kPending);
  EXPECT_EQ(CountMajority({MemberId(1), MemberId(2)}, {{MemberId(1), false}}), VoteResult::kLost);
}

}  // namespace
}  // namespace cairn::raft
