#include "state_machine/change_ring.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace cairn::state_machine {
namespace {

constexpr size_t kCommandBytes = 100;

std::shared_ptr<const CommandChanges> CommandAt(uint64_t index, uint64_t first, uint64_t count) {
  auto command = std::make_shared<CommandChanges>();
  for (uint64_t i = 0; i < count; ++i) {
    Change change;
    change.kind = i + 1 < count ? ChangeKind::kInsert : ChangeKind::kCommandEnd;
    change.position = {LogIndex(index), first + i};
    command->changes.push_back(std::move(change));
  }
  command->bytes = kCommandBytes;
  return command;
}

class ChangeRingTest : public testing::Test {
 protected:
  // Applies one entry with one command of three changes.
  bool Apply() {
    const bool recorded = ring_->BatchBegun(applied_);
    ++applied_;
    std::vector<std::shared_ptr<const CommandChanges>> commands;
    if (recorded) commands.push_back(CommandAt(applied_.value(), 1, 3));
    ring_->BatchCommitted(applied_, std::move(commands), std::nullopt);
    return recorded;
  }
  std::vector<uint64_t> IndexesAfter(ChangePosition after, size_t bytes = 1 << 20) {
    const auto read = ring_->After(after, bytes);
    EXPECT_TRUE(read.ok()) << read.status();
    std::vector<uint64_t> indexes;
    if (!read.ok()) return indexes;
    for (const auto& command : read->commands) indexes.push_back(command->index().value());
    return indexes;
  }

  ManualClock clock_;
  std::shared_ptr<ChangeRing> ring_ = std::make_shared<ChangeRing>(5 * kCommandBytes, clock_);
  LogIndex applied_{10};
};

TEST_F(ChangeRingTest, NothingIsRecordedWhileNobodyWatches) {
  EXPECT_FALSE(Apply());
  EXPECT_EQ(ring_->oldest(), std::nullopt);
  EXPECT_EQ(ring_->After(EndOf(LogIndex(10)), 100).status().code(), StatusCode::kOutOfRange);
}

TEST_F(ChangeRingTest, AMemberGetsWhatIsAppliedAfterItCame) {
  Apply();
  const auto member = ring_->Join();
  ASSERT_EQ(ring_->oldest(), EndOf(LogIndex(11)));
  Apply();
  Apply();
  EXPECT_EQ(IndexesAfter(EndOf(LogIndex(11))), (std::vector<uint64_t>{12, 13}));
  EXPECT_EQ(IndexesAfter({LogIndex(12), 1}), (std::vector<uint64_t>{12, 13})) << "in the middle";
  EXPECT_EQ(IndexesAfter({LogIndex(12), 3}), (std::vector<uint64_t>{13})) << "its last change";
  EXPECT_EQ(ring_->After(EndOf(LogIndex(13)), 100)->through, EndOf(LogIndex(13)));
  EXPECT_TRUE(IndexesAfter(EndOf(LogIndex(20))).empty()) << "this node is not so far";
  EXPECT_EQ(ring_->After(EndOf(LogIndex(20)), 100)->through, EndOf(LogIndex(20)));
}

TEST_F(ChangeRingTest, AReadEndsAfterSoManyBytes) {
  const auto member = ring_->Join();
  for (int i = 0; i < 4; ++i) Apply();
  const auto read = ring_->After(EndOf(LogIndex(10)), 2 * kCommandBytes);
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->commands.size(), 2U);
  EXPECT_EQ(read->through, (ChangePosition{LogIndex(12), 3}));
  EXPECT_EQ(IndexesAfter(read->through), (std::vector<uint64_t>{13, 14}));
}

TEST_F(ChangeRingTest, TheOldestMakeRoomAndAreSaidToBeGone) {
  const auto member = ring_->Join();
  for (int i = 0; i < 7; ++i) Apply();
  EXPECT_EQ(ring_->oldest(), (ChangePosition{LogIndex(12), 3}));
  EXPECT_EQ(IndexesAfter({LogIndex(12), 3}).size(), 5U);
  const Status gone = ring_->After({LogIndex(12), 2}, 100).status();
  EXPECT_EQ(gone.code(), StatusCode::kOutOfRange);
  EXPECT_NE(gone.message().find("12.3"), std::string::npos) << gone;
}

TEST_F(ChangeRingTest, ABatchWithTooManyChangesLeavesNothing) {
  const auto member = ring_->Join();
  Apply();
  ring_->BatchBegun(applied_);
  ring_->BatchCommitted(LogIndex(12), {}, EndOf(LogIndex(12)));
  EXPECT_EQ(ring_->oldest(), EndOf(LogIndex(12)));
  EXPECT_FALSE(ring_->After(EndOf(LogIndex(11)), 100).ok());
}

// What the batch changed before the member came is not known.
TEST_F(ChangeRingTest, AMemberWaitsForTheEndOfTheBatchUnderWay) {
  int told = 0;
  ring_->SetListener([&] { ++told; });
  ASSERT_FALSE(ring_->BatchBegun(LogIndex(10)));
  const auto member = ring_->Join();
  EXPECT_EQ(ring_->oldest(), std::nullopt);
  ring_->BatchCommitted(LogIndex(11), {}, std::nullopt);
  EXPECT_EQ(told, 1);
  EXPECT_EQ(ring_->oldest(), EndOf(LogIndex(11)));
  ring_->SetListener({});
}

TEST_F(ChangeRingTest, AWatcherMayComeBackForAWhile) {
  auto member = ring_->Join();
  Apply();
  member.reset();
  clock_.Advance(ChangeRing::kLingerAfterLeave - std::chrono::seconds(1));
  EXPECT_TRUE(Apply());
  EXPECT_EQ(IndexesAfter(EndOf(LogIndex(10))).size(), 2U);
  clock_.Advance(std::chrono::seconds(2));
  EXPECT_FALSE(Apply());
  EXPECT_EQ(ring_->oldest(), std::nullopt);
}

TEST_F(ChangeRingTest, AnotherStateHasNoneOfTheChanges) {
  const auto member = ring_->Join();
  Apply();
  ring_->Reset(LogIndex(50));
  EXPECT_FALSE(ring_->After(EndOf(LogIndex(10)), 100).ok());
  EXPECT_EQ(ring_->oldest(), EndOf(LogIndex(50)));
  ring_->BatchUndone();
  EXPECT_EQ(ring_->newest(), EndOf(LogIndex(50)));
}

}  // namespace
}  // namespace cairn::state_machine
