// Counter and Histogram: what a part of the process counts of itself, for whoever watches it.
//
// Counting takes one or two additions to memory that no lock guards, so the busiest paths can count.
// Readers see each number as it is at some moment; numbers that are read one after the other may be
// of different moments.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/check.h"
#include "base/clock.h"

namespace cairn {

// Thread-safe.
class Counter {
 public:
  void Add(uint64_t n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
  // For a number that its owner knows whole.
  void Set(uint64_t n) { value_.store(n, std::memory_order_relaxed); }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

// How many values were at most as large as each bound. Thread-safe.
class Histogram {
 public:
  static constexpr size_t kBoundsMax = 20;

  // `bounds` rise, and outlive the histogram.
  explicit Histogram(std::span<const uint64_t> bounds) : bounds_(bounds) {
    CHECK(!bounds.empty() && bounds.size() <= kBoundsMax);
  }

  void Observe(uint64_t value) {
    const auto at = std::lower_bound(bounds_.begin(), bounds_.end(), value);
    counts_[static_cast<size_t>(at - bounds_.begin())].fetch_add(1, std::memory_order_relaxed);
    sum_.fetch_add(value, std::memory_order_relaxed);
  }
  // Nanoseconds; a time that runs back counts as none.
  void Observe(SteadyTime time) {
    Observe(static_cast<uint64_t>(std::max<SteadyTime::rep>(0, time.count())));
  }

  struct Reading {
    std::span<const uint64_t> bounds;
    std::vector<uint64_t> counts;  // one for each bound, then that of larger values
    uint64_t sum = 0;
  };
  Reading Read() const {
    Reading reading{bounds_, {}, sum_.load(std::memory_order_relaxed)};
    for (size_t i = 0; i <= bounds_.size(); ++i) {
      reading.counts.push_back(counts_[i].load(std::memory_order_relaxed));
    }
    return reading;
  }

 private:
  const std::span<const uint64_t> bounds_;
  std::array<std::atomic<uint64_t>, kBoundsMax + 1> counts_{};
  std::atomic<uint64_t> sum_{0};
};

// Bounds in nanoseconds, from 50 us to 10 s.
inline constexpr uint64_t kTimeBounds[] = {
    50'000,      100'000,       250'000,       500'000,       1'000'000,   2'500'000,
    5'000'000,   10'000'000,    25'000'000,    50'000'000,    100'000'000, 250'000'000,
    500'000'000, 1'000'000'000, 2'500'000'000, 10'000'000'000};
inline constexpr uint64_t kCountBounds[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024};
inline constexpr uint64_t kByteBounds[] = {256,       1 << 10, 4 << 10, 16 << 10, 64 << 10,
                                           256 << 10, 1 << 20, 4 << 20, 16 << 20};

}  // namespace cairn
