// SimClock: the clocks of one node. The steady clock runs at its own rate; the wall clock jumps.
#pragma once

#include <algorithm>

#include "base/clock.h"
#include "sim/world.h"

namespace cairn::sim {

class SimClock final : public Clock {
 public:
  explicit SimClock(const World* world) : world_(world) {}

  SteadyTime SteadyNow() const override {
    return base_ + Scaled(std::max(world_->now() - since_, SteadyTime(0)));
  }
  SteadyTime BootNow() const override { return SteadyNow() + asleep_; }
  int64_t WallNowMs() const override {
    return kEpochMs + wall_offset_ms_ +
           std::chrono::duration_cast<milliseconds>(world_->now()).count();
  }

  // The steady clock runs `ppm` parts per million faster (or slower) than the world.
  void SetRate(int64_t ppm) {
    base_ = SteadyNow();
    since_ = std::max(since_, world_->now());
    ppm_ = ppm;
  }
  // The machine is suspended until `until` (now: it wakes). The steady clock stands still.
  void Suspend(SteadyTime until) {
    base_ = SteadyNow();
    asleep_ += until - std::max(since_, world_->now());
    since_ = until;
  }
  // A machine that restarts counts from another value.
  void Restart(SteadyTime at) {
    base_ = at;
    since_ = world_->now();
    asleep_ = SteadyTime(0);
  }
  void JumpWall(int64_t ms) { wall_offset_ms_ += ms; }
  // A machine without a battery for its clock starts in 1970.
  void ForgetWall() { JumpWall(-WallNowMs()); }
  // The machine is told the time.
  void LearnWall() { wall_offset_ms_ = 0; }

  // How long the world runs until this clock has advanced by `local`.
  SteadyTime WorldTime(SteadyTime local) const {
    return SteadyTime(local.count() * 1'000'000 / (1'000'000 + ppm_) + 1);
  }

 private:
  static constexpr int64_t kEpochMs = 1'700'000'000'000;
  SteadyTime Scaled(SteadyTime time) const {
    return SteadyTime(time.count() + time.count() / 1'000'000 * ppm_);
  }

  const World* const world_;
  SteadyTime base_{1};
  SteadyTime since_{0};  // later than now while the machine is suspended
  SteadyTime asleep_{0};
  int64_t ppm_ = 0;
  int64_t wall_offset_ms_ = 0;
};

}  // namespace cairn::sim
