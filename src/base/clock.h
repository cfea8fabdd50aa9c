// Injected time. Cairn reads the system's clocks only through this interface.
#pragma once

#include <chrono>
#include <cstdint>

namespace cairn {

// Nanoseconds of a clock that never goes back and is not the time of day.
using SteadyTime = std::chrono::nanoseconds;

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  // For timeouts and leases. Only differences between values mean anything.
  virtual SteadyTime SteadyNow() const = 0;
  // This clock runs on while the machine is suspended; SteadyNow stands still. For the age of
  // something.
  virtual SteadyTime BootNow() const = 0;
  // Milliseconds since the Unix epoch. The value may jump forward or back. Only for SQL's time of
  // day.
  virtual int64_t WallNowMs() const = 0;
};

// The system's clocks. The object lives for the whole process.
Clock& SystemClock();

// A clock for tests: it stands still until the test advances it.
class ManualClock final : public Clock {
 public:
  SteadyTime SteadyNow() const override { return steady_; }
  SteadyTime BootNow() const override { return steady_ + suspended_; }
  int64_t WallNowMs() const override { return wall_ms_; }
  void Advance(SteadyTime by) {
    steady_ += by;
    wall_ms_ += std::chrono::duration_cast<std::chrono::milliseconds>(by).count();
  }
  void SetWallMs(int64_t ms) { wall_ms_ = ms; }
  // Simulates that the machine is suspended for `how_long`.
  void Suspend(SteadyTime how_long) { suspended_ += how_long; }

 private:
  SteadyTime steady_{1};
  SteadyTime suspended_{0};
  int64_t wall_ms_ = 1'700'000'000'000;
};

}  // namespace cairn
