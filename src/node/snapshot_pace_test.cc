#include "node/snapshot_pace.h"

#include <gtest/gtest.h>

#include <thread>

namespace cairn::node {
namespace {

using std::chrono::milliseconds;

TEST(SnapshotPace, ATransferWaitsOnlyWhileAWriteIsUnderWay) {
  bool writes = false;
  const SnapshotPace pace([&] { return writes; });
  EXPECT_EQ(pace.PauseAfter(milliseconds(1)), SteadyTime(0));
  writes = true;
  EXPECT_EQ(pace.PauseAfter(milliseconds(1)), milliseconds(6));
}

// A piece over a slow link takes seconds, and hinders nobody.
TEST(SnapshotPace, ASlowPieceIsNotMadeSlower) {
  const SnapshotPace pace([] { return true; });
  EXPECT_EQ(pace.PauseAfter(std::chrono::seconds(5)), SnapshotPace::kPauseMax);
}

TEST(SnapshotPace, StopEndsAWait) {
  SnapshotPace pace([] { return true; });
  std::thread waits([&] { pace.Wait(std::chrono::hours(1)); });
  pace.Stop();
  waits.join();
  pace.Wait(std::chrono::hours(1));
}

}  // namespace
}  // namespace cairn::node
