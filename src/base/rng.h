// The only source of randomness in Cairn's own code: seeded, injected, reproducible.
#pragma once

#include <cstdint>

namespace cairn {

// xoshiro256** (Blackman and Vigna, 2018), seeded through splitmix64. Not for secrets.
// Thread-compatible: one owner.
class Rng {
 public:
  explicit Rng(uint64_t seed);

  uint64_t Next();
  // Uniform in [0, bound); bound > 0.
  uint64_t Below(uint64_t bound);
  // Uniform in [low, high], both included.
  uint64_t Between(uint64_t low, uint64_t high) { return low + Below(high - low + 1); }

 private:
  uint64_t state_[4];
};

// 64 bits from the operating system, to seed an Rng or to name a new cluster or session.
uint64_t SystemEntropy();

}  // namespace cairn
