#include "rpc/timer_queue.h"

#include <gtest/gtest.h>

#include <future>
#include <vector>

namespace cairn::rpc {
namespace {

TEST(TimerQueue, RunsTasksInTheOrderOfTheirTimes) {
  TimerQueue timers(&SystemClock());
  std::vector<int> order;
  std::promise<void> last;
  timers.RunAfter(std::chrono::milliseconds(30), [&] {
    order.push_back(2);
    last.set_value();
  });
  timers.RunAfter(std::chrono::milliseconds(5), [&] { order.push_back(1); });
  last.get_future().get();
  EXPECT_EQ(order, (std::vector<int>{1, 2}));
}

TEST(TimerQueue, StopRunsWhatWaitsAndLaterTasksAtOnce) {
  TimerQueue timers(&SystemClock());
  int ran = 0;
  timers.RunAfter(std::chrono::hours(1), [&] { ++ran; });
  timers.Stop();
  EXPECT_EQ(ran, 1);
  timers.RunAfter(std::chrono::hours(1), [&] { ++ran; });
  EXPECT_EQ(ran, 2);
}

}  // namespace
}  // namespace cairn::rpc
