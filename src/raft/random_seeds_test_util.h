// The seeds of a random test: 1 to `count`. CAIRN_RAFT_SEED=n runs only seed n; CAIRN_RAFT_SEEDS=n
// runs n seeds.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace cairn::raft {

// Calls `run` with one seed after another, until `run` returns what went wrong with a seed. Returns
// the number of seeds.
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
    // Prints the seed first, for a run that aborts in a CHECK, where no assertion can report the
    // seed.
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
