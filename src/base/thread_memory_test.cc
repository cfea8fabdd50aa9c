#include "base/thread_memory.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <vector>

namespace cairn {
namespace {

TEST(ThreadHeapBytes, WhatAThreadHoldsIsCountedAndWhatItFreedIsNot) {
  const int64_t before = ThreadHeapBytes();
  auto held = std::make_unique<std::vector<char>>(3 << 20);
  held->front() = 1;
  const int64_t with = ThreadHeapBytes() - before;
  if (with == 0) GTEST_SKIP() << "this build's allocator does not count";
  EXPECT_GE(with, 3 << 20);
  EXPECT_LT(with, 4 << 20);
  held.reset();
  EXPECT_LT(ThreadHeapBytes() - before, 1 << 20);
}

TEST(ThreadHeapBytes, OtherThreadsDoNotCount) {
  const int64_t before = ThreadHeapBytes();
  std::vector<char> theirs;
  std::thread([&] { theirs.resize(3 << 20); }).join();
  EXPECT_LT(ThreadHeapBytes() - before, 1 << 20);
}

}  // namespace
}  // namespace cairn
