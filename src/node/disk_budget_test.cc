// The budget of an entry and the room on the disk.
#include <gtest/gtest.h>

#include "node/replica_core_test_util.h"

namespace cairn::node {
namespace {

// One lawful request could fill the disk of every node at apply, and no node would ever pass its entry.
TEST_F(ReplicaCoreTest, TheWorkOfAnEntryIsHeldToWhatTheDiskBears) {
  Lead();
  Propose();
  Settle();
  EXPECT_EQ(headers_.back().command_steps_max, options_.request_steps_max);
  core_->OnFreeBytes(300 << 20);
  Propose();
  Settle();
  EXPECT_LT(headers_.back().command_steps_max, options_.request_steps_max);
  EXPECT_EQ(headers_.back().maintenance_steps_max, headers_.back().command_steps_max);
  EXPECT_EQ(headers_.back().entry_steps_max, headers_.back().command_steps_max);
  EXPECT_GE(headers_.back().command_steps_max, 10'000'000u);
  core_->OnFreeBytes(uint64_t{1} << 40);
  Propose();
  Settle();
  EXPECT_EQ(headers_.back().command_steps_max, options_.request_steps_max);
}

}  // namespace
}  // namespace cairn::node
