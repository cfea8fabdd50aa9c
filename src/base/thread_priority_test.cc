#include "base/thread_priority.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <thread>

namespace cairn {
namespace {

int Niceness() { return ::getpriority(PRIO_PROCESS, static_cast<id_t>(::gettid())); }

TEST(ThreadPriority, FallsForTheCallerAndForThreadsThatItStarts) {
  const int before = Niceness();
  std::thread background([before] {
    LowerThreadPriority();
    EXPECT_GT(Niceness(), before);
    std::thread([before] { EXPECT_GT(Niceness(), before); }).join();
  });
  background.join();
  EXPECT_EQ(Niceness(), before);
}

}  // namespace
}  // namespace cairn
