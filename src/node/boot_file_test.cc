#include "node/boot_file.h"

#include <gtest/gtest.h>

#include "base/fault_file_system.h"

namespace cairn::node {
namespace {

class BootFile : public testing::Test {
 protected:
  BootFile() { EXPECT_TRUE(disk_.CreateDirectories("d").ok()); }
  BootRecord Count(uint64_t nonce) {
    Result<BootRecord> record = CountBoot(disk_, "d", nonce);
    EXPECT_TRUE(record.ok()) << record.status();
    return record.ok() ? *record : BootRecord{};
  }
  // Flips one bit of the slot that the start before the last `back` starts wrote.
  void Flip(uint64_t offset) {
    const auto file = disk_.Open("d/boots", false);
    ASSERT_TRUE(file.ok());
    std::string byte = *(*file)->ReadAt(offset, 1);
    byte[0] ^= 1;
    ASSERT_TRUE((*file)->WriteAt(offset, byte).ok());
    ASSERT_TRUE((*file)->Sync().ok());
  }
  FaultFileSystem disk_{7};
};

TEST_F(BootFile, EachStartHasANumberAndKnowsThoseBefore) {
  EXPECT_EQ(Count(10).boot, (raft::Boot{1, 10}));
  EXPECT_EQ(Count(20).earlier, (std::vector<raft::Boot>{{1, 10}}));
  const BootRecord third = Count(30);
  EXPECT_EQ(third.boot, (raft::Boot{3, 30}));
  EXPECT_EQ(third.earlier, (std::vector<raft::Boot>{{1, 10}, {2, 20}}));
}

TEST_F(BootFile, KeepsTheLastOnes) {
  for (uint64_t i = 1; i <= 100; ++i) Count(i);
  const BootRecord record = Count(101);
  ASSERT_EQ(record.earlier.size(), kEarlierBootsMax);
  EXPECT_EQ(record.earlier.back(), (raft::Boot{100, 100}));
  EXPECT_EQ(record.earlier.front().count, 101 - kEarlierBootsMax);
}

TEST_F(BootFile, WhatWasCountedSurvivesAPowerCut) {
  for (uint64_t i = 1; i <= 20; ++i) {
    EXPECT_EQ(Count(i).boot.count, i);
    disk_.PowerOff();
    disk_.Crash(FaultFileSystem::Unsynced::kDrop);
  }
}

// The last start is in both slots. Others know that start, and a process that does not know it is
// taken for a copy. A slot that cannot be read may have been about to hold a later start, so that
// number is left out.
TEST_F(BootFile, ABitThatRotsLosesNoStart) {
  for (const uint64_t slot : {0, 1}) {
    const BootRecord before = Count(10);
    Flip(slot * 4096 + 9);
    const BootRecord next = Count(20);
    EXPECT_EQ(next.boot, (raft::Boot{before.boot.count + 2, 20}));
    EXPECT_EQ(next.earlier.back(), before.boot);
  }
}

TEST_F(BootFile, RefusesAFileThatIsDamaged) {
  Count(10);
  Flip(9);
  Flip(4096 + 9);
  EXPECT_EQ(CountBoot(disk_, "d", 20).status().code(), StatusCode::kDataLoss);
}

}  // namespace
}  // namespace cairn::node
