#include "base/clock.h"

namespace cairn {
namespace {

class RealClock final : public Clock {
 public:
  SteadyTime SteadyNow() const override {
    return std::chrono::duration_cast<SteadyTime>(
        std::chrono::steady_clock::now().time_since_epoch());
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
