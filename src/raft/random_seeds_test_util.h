// The seeds of a random test: 1 to `count`, or from CAIRN_RAFT_SEED just that one, or
// CAIRN_RAFT_SEEDS of them.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace cairn::raft {

// Begins with a seed at a time, until `run` has said what went wrong with one. How many there were
// is returned.
template <typename Run>
uint64_t ForEachSeed(uint64_t count, const Run& run) {
  uint64_t first = 1;
  if (const char* seed = std::getenv("CAIRN_RAFT_SEED")) {
    first = std::strtoull(seed, nullptr, 10);
    count = 1;
  }
  if (const char* seeds = std::getenv("CAIRN_RAFT_SEEDS")) {
    count = std::strtoull(seeds, nullptr, 10);
  }
  for (uint64_t seed = first; seed < first + count; ++seed) {
    // For a run that aborts in a CHECK, where no assertion can tell the seed.
    ::testing::Test::RecordProperty("seed", std::to_string(seed));
    std::fprintf(stderr, "\rseed %llu ", static_cast<unsigned long long>(seed));
    const std::string failure = run(seed);
    EXPECT_EQ(failure, "") << "CAIRN_RAFT_SEED=" << seed;
    if (!failure.empty()) break;
  }
  std::fprintf(stderr, "\n");
  return count;
}

}  // namespace cairn::raft
