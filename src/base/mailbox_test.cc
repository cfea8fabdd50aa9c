#include "base/mailbox.h"

#include <gtest/gtest.h>

#include <thread>

namespace cairn {
namespace {

TEST(Mailbox, AQuietItemWakesNobodyAndIsFoundByWhoLooksNext) {
  Mailbox<int> box;
  std::vector<int> got;
  EXPECT_TRUE(box.PushQuietly(1));
  EXPECT_TRUE(box.PopAll(&got)) << "found before going to sleep";
  std::thread producer([&] {
    box.PushQuietly(2);
    box.Push(3);  // must wake the consumer, though it is not the first item
  });
  while (got.size() < 3) ASSERT_TRUE(box.PopAll(&got));
  producer.join();
  EXPECT_EQ(got, (std::vector<int>{1, 2, 3}));
  // Nobody wakes the consumer, so it must reach its time limit.
  std::thread quiet([&] { box.PushQuietly(4); });
  quiet.join();
  EXPECT_TRUE(box.PopAll(&got, std::chrono::seconds(0)));
  EXPECT_EQ(got.back(), 4);
}

TEST(Mailbox, WakeReachesTheConsumerOfAQuietItem) {
  Mailbox<int> box;
  std::vector<int> got;
  std::thread producer([&] {
    box.PushQuietly(1);
    box.Wake();
  });
  while (got.empty()) ASSERT_TRUE(box.PopAll(&got));
  producer.join();
  EXPECT_EQ(got, std::vector<int>{1});
}

TEST(Mailbox, CloseWakesTheConsumerAndKeepsWhatIsInside) {
  Mailbox<int> box;
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
