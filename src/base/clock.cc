#include "base/clock.h"

#include <ctime>

#include "base/check.h"

namespace cairn {
namespace {

class RealClock final : public Clock {
 public:
  SteadyTime SteadyNow() const override {
    return std::chrono::duration_cast<SteadyTime>(
        std::chrono::steady_clock::now().time_since_epoch());
  }
  SteadyTime BootNow() const override {
    timespec now{};
    CHECK(clock_gettime(CLOCK_BOOTTIME, &now) == 0);
    return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
  }
  int64_t WallNowMs() const override {
    return std::chrono::duration_cast<std::chrono::milliseconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
  }
};

}  // namespace

Clock& SystemClock() {
  static RealClock clock;
  return clock;
}

}  // namespace cairn
