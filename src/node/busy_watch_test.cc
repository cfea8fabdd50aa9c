#include "node/busy_watch.h"

#include <gtest/gtest.h>

namespace cairn::node {
namespace {

using std::chrono::milliseconds;

std::optional<state_machine::ApplyingCommand> At(uint64_t index, size_t number = 0) {
  return state_machine::ApplyingCommand{
      LogIndex(index), number, {"s", 7}, "host:a", "DELETE FROM t"};
}

TEST(BusyWatch, OneCommandForASecondIsToldWithItsBeginning) {
  BusyWatch watch;
  EXPECT_FALSE(watch.Look(At(5), milliseconds(100)));
  EXPECT_FALSE(watch.Look(At(5), milliseconds(1099)));
  const auto& busy = watch.Look(At(5), milliseconds(1100));
  ASSERT_TRUE(busy);
  EXPECT_EQ(busy->since, milliseconds(100));
  EXPECT_EQ(busy->command.id.session, "s");
  EXPECT_EQ(busy->command.principal, "host:a");
  EXPECT_TRUE(watch.Look(At(5), milliseconds(60'000)));
  EXPECT_FALSE(watch.Look(std::nullopt, milliseconds(60'100)));
}

TEST(BusyWatch, ManyCommandsOneAfterAnotherAreNotOne) {
  BusyWatch watch;
  for (int i = 0; i < 100; ++i) {
    EXPECT_FALSE(watch.Look(At(5, static_cast<size_t>(i)), milliseconds(900 * i)));
  }
  for (int i = 0; i < 100; ++i) {
    EXPECT_FALSE(watch.Look(At(6 + static_cast<uint64_t>(i)), milliseconds(90'000 + 900 * i)));
  }
}

TEST(BusyWatch, TheNextCommandBeginsItsOwnTime) {
  BusyWatch watch;
  watch.Look(At(5), milliseconds(0));
  EXPECT_TRUE(watch.Look(At(5), milliseconds(2000)));
  EXPECT_FALSE(watch.Look(At(6), milliseconds(2010)));
  EXPECT_TRUE(watch.Look(At(6), milliseconds(3010)));
}

}  // namespace
}  // namespace cairn::node
