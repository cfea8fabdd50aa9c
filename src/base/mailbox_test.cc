#include "base/mailbox.h"

#include <gtest/gtest.h>

#include <thread>

namespace cairn {
namespace {

TEST(Mailbox, RefusesPastItsBoundButNeverACompletion) {
  Mailbox<int> box(10);
  EXPECT_TRUE(box.TryPush(1, 6));
  EXPECT_FALSE(box.TryPush(2, 6));
  EXPECT_TRUE(box.Push(3, 6));
  std::vector<int> got;
  EXPECT_TRUE(box.PopAll(&got));
  EXPECT_EQ(got, (std::vector<int>{1, 3}));
  EXPECT_EQ(box.cost(), 0U);
}

TEST(Mailbox, AnItemLargerThanTheBoxPassesAlone) {
  Mailbox<int> box(10);
  EXPECT_TRUE(box.TryPush(1, 100));
  EXPECT_FALSE(box.TryPush(2, 1));
}

TEST(Mailbox, CloseWakesTheConsumerAndKeepsWhatIsInside) {
  Mailbox<int> box(10);
  std::vector<int> got;
  std::thread producer([&] {
    box.Push(1);
    box.Close();
  });
  while (box.PopAll(&got)) {
  }
  producer.join();
  EXPECT_EQ(got, std::vector<int>{1});
  EXPECT_FALSE(box.Push(2));
}

}  // namespace
}  // namespace cairn
