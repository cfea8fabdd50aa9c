#include "node/time_series_upkeep.h"

#include "node/replica_core_test_util.h"
#include "state_machine/feature_level.h"

namespace cairn::node {
namespace {

TEST_F(ReplicaCoreTest, ALeaderProposesTheUpkeepOfTimeSeries) {
  Lead();
  report_.level = state_machine::kLevelDataPlatform;
  report_.time_series = state_machine::TimeSeriesUpkeep::kRests;
  Propose();
  core_->Flush();
  Settle();
  const size_t before = commands_;
  constexpr uint64_t kMinute = 60'000 / 10;  // in ticks
  Tick(10);
  Settle();
  EXPECT_EQ(commands_, before + 1) << "a look";
  Tick(kMinute / 2);
  Settle();
  EXPECT_EQ(commands_, before + 1) << "none while it rests";
  report_.time_series = state_machine::TimeSeriesUpkeep::kBusy;
  Propose();
  core_->Flush();
  Settle();
  Tick(5);
  Settle();
  EXPECT_EQ(commands_, before + 3) << "a slice behind the client's command";
  Tick(10);
  Settle();
  EXPECT_EQ(commands_, before + 3) << "a pause between slices";
}

}  // namespace
}  // namespace cairn::node
