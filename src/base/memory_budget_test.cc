#include "base/memory_budget.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace cairn {
namespace {

TEST(MemoryBudget, AShareTakesItsPartAndNoMore) {
  MemoryBudget budget(1600);
  MemoryShare* const requests = budget.Share("requests", 6);
  MemoryShare* const results = budget.Share("results", 10);
  EXPECT_EQ(requests->bytes_max(), 600U);
  Result<MemoryCharge> first = MemoryCharge::Take(requests, 500);
  ASSERT_TRUE(first.ok());
  const Result<MemoryCharge> second = MemoryCharge::Take(requests, 101);
  EXPECT_EQ(second.status().code(), StatusCode::kResourceExhausted);
  EXPECT_NE(second.status().message().find("try again later"), std::string::npos);
  EXPECT_TRUE(MemoryCharge::Take(results, 1000).ok());
  EXPECT_EQ(requests->bytes(), 500U);
  EXPECT_EQ(results->bytes(), 0U);
}

TEST(MemoryBudget, WhatCanNeverFitSaysWhatToDo) {
  MemoryBudget budget(1600);
  const Result<MemoryCharge> charge = MemoryCharge::Take(budget.Share("requests", 1), 101);
  EXPECT_NE(charge.status().message().find("memory-bytes-max"), std::string::npos);
}

TEST(MemoryBudget, AChargeGivesBackWhatItTookOnce) {
  MemoryBudget budget(1600);
  MemoryShare* const share = budget.Share("requests", 16);
  {
    MemoryCharge charge = *MemoryCharge::Take(share, 100);
    MemoryCharge moved = std::move(charge);
    EXPECT_TRUE(moved.TryResize(1600));
    EXPECT_FALSE(moved.TryResize(1601));
    EXPECT_EQ(moved.bytes(), 1600U);
    EXPECT_TRUE(moved.TryResize(10));
    EXPECT_EQ(share->bytes(), 10U);
    charge = *MemoryCharge::Take(share, 5);
    EXPECT_EQ(share->bytes(), 15U);
    charge = std::move(moved);
    EXPECT_EQ(share->bytes(), 10U);
  }
  EXPECT_EQ(share->bytes(), 0U);
}

TEST(MemoryBudget, ASumOfLargeNumbersDoesNotWrapAround) {
  MemoryBudget budget(1600);
  MemoryShare* const share = budget.Share("requests", 16);
  const MemoryCharge charge = *MemoryCharge::Take(share, 1000);
  EXPECT_FALSE(MemoryCharge::Take(share, SIZE_MAX).ok());
  EXPECT_FALSE(MemoryCharge::Take(share, SIZE_MAX - 999).ok());
}

TEST(MemoryBudget, ManyThreadsNeverTakeMoreThanThereIs) {
  MemoryBudget budget(16000);
  MemoryShare* const share = budget.Share("requests", 16);
  std::atomic<bool> over{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 10'000; ++round) {
        const Result<MemoryCharge> charge = MemoryCharge::Take(share, 5000);
        if (share->bytes() > share->bytes_max()) over = true;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(over);
  EXPECT_EQ(share->bytes(), 0U);
}

}  // namespace
}  // namespace cairn
