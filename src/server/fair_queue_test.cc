#include "server/fair_queue.h"

#include <gtest/gtest.h>

#include <vector>

namespace cairn::server {
namespace {

std::vector<int> All(FairQueue<int>* queue) {
  std::vector<int> all;
  while (!queue->empty()) all.push_back(queue->Pop());
  return all;
}

TEST(FairQueue, ALoneKeyIsServedInOrder) {
  FairQueue<int> queue;
  for (int i = 1; i <= 5; ++i) queue.Push(7, i);
  EXPECT_EQ(queue.size(), 5U);
  EXPECT_EQ(All(&queue), (std::vector<int>{1, 2, 3, 4, 5}));
}

TEST(FairQueue, WhoeverComesLaterDoesNotWaitForAllOfTheFirst) {
  FairQueue<int> queue;
  for (int i = 1; i <= 4; ++i) queue.Push(1, i);
  queue.Push(2, 20);
  queue.Push(3, 30);
  queue.Push(3, 31);
  EXPECT_EQ(All(&queue), (std::vector<int>{1, 20, 30, 2, 31, 3, 4}));
}

TEST(FairQueue, WhatIsPutBackComesBeforeTheOthersOfItsKey) {
  FairQueue<int> queue;
  queue.Push(1, 1);
  queue.Push(1, 2);
  queue.Push(2, 20);
  EXPECT_EQ(queue.Pop(), 1);
  queue.PushFront(1, 1);
  EXPECT_EQ(All(&queue), (std::vector<int>{20, 1, 2}));
}

TEST(FairQueue, AnyNumberOfKeysMayComeAndGo) {
  FairQueue<int> queue;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 1000; ++i) queue.Push(static_cast<uint64_t>(i), i);
    EXPECT_EQ(All(&queue).size(), 1000U);
  }
}

}  // namespace
}  // namespace cairn::server
