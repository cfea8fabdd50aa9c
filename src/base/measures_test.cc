#include "base/measures.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace cairn {
namespace {

TEST(Histogram, AValueCountsAtTheFirstBoundThatIsNotBelowIt) {
  static constexpr uint64_t kBounds[] = {10, 20};
  Histogram histogram(kBounds);
  for (const uint64_t value : {0, 10, 11, 20, 21, 1000}) histogram.Observe(value);
  const Histogram::Reading reading = histogram.Read();
  EXPECT_EQ(reading.counts, (std::vector<uint64_t>{2, 2, 2}));
  EXPECT_EQ(reading.sum, 1062u);
}

TEST(Histogram, ATimeThatRunsBackCountsAsNone) {
  Histogram histogram(kTimeBounds);
  histogram.Observe(SteadyTime(-5));
  EXPECT_EQ(histogram.Read().counts[0], 1u);
  EXPECT_EQ(histogram.Read().sum, 0u);
}

TEST(Histogram, ManyThreadsLoseNothing) {
  Histogram histogram(kCountBounds);
  Counter counter;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (uint64_t i = 0; i < 10'000; ++i) {
        histogram.Observe(i % 8);
        counter.Add(2);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  uint64_t count = 0;
  for (const uint64_t each : histogram.Read().counts) count += each;
  EXPECT_EQ(count, 40'000u);
  EXPECT_EQ(histogram.Read().sum, 4u * 10'000 / 8 * 28);
  EXPECT_EQ(counter.value(), 80'000u);
}

}  // namespace
}  // namespace cairn
