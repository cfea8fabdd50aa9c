#include "node/fair_turns.h"

#include <gtest/gtest.h>

#include <map>

namespace cairn::node {
namespace {

TEST(FairTurns, GiveAllWhoWaitTheSameWork) {
  FairTurns turns;
  const std::map<uint64_t, uint64_t> cost{{1, 10}, {2, 100}, {3, 30}};
  for (const auto& [party, steps] : cost) turns.Enter(party);
  std::map<uint64_t, uint64_t> done;
  for (int i = 0; i < 1000; ++i) {
    const uint64_t party = turns.Next();
    turns.Charge(party, cost.at(party));
    done[party] += cost.at(party);
  }
  for (const auto& [party, steps] : done) {
    EXPECT_GE(steps + 200, done[1]) << party;
    EXPECT_LE(steps, done[1] + 200) << party;
  }
}

TEST(FairTurns, WhoWasSilentSavesUpNothingAndWhoWasChargedMoreWaits) {
  FairTurns turns;
  turns.Enter(1);
  for (int i = 0; i < 100; ++i) turns.Charge(1, 10);
  turns.Enter(2);
  int of_two = 0;
  for (int i = 0; i < 100; ++i) {
    of_two += turns.Next() == 2 ? 1 : 0;
    turns.Charge(turns.Next(), 10);
  }
  EXPECT_NEAR(of_two, 50, 2);
  // Its one command turned out to be large. It leaves and comes back, and the other goes first.
  turns.Leave(2);
  turns.Charge(2, 1000);
  turns.Enter(2);
  for (int i = 0; i < 90; ++i) {
    EXPECT_EQ(turns.Next(), 1u);
    turns.Charge(1, 10);
  }
}

TEST(FairTurns, RememberABoundedNumberOfParties) {
  FairTurns turns;
  turns.Enter(0);
  for (uint64_t party = 1; party < 100'000; ++party) {
    turns.Enter(party);
    turns.Charge(party, 1'000'000);
    turns.Leave(party);
  }
  EXPECT_EQ(turns.Next(), 0u);
}

}  // namespace
}  // namespace cairn::node
