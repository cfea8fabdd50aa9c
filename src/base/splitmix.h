// SplitMix64 (Steele, Lea and Flood, 2014): makes well mixed numbers of numbers that are not.
#pragma once

#include <cstdint>

namespace cairn {

inline constexpr uint64_t kSplitMixStep = 0x9e3779b97f4a7c15ULL;

// The finalizer: every bit of the input changes every bit of the result, and no two inputs give one
// result.
constexpr uint64_t MixBits(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

// What the generator draws from `state`. The next state is `state` + kSplitMixStep.
constexpr uint64_t SplitMix64(uint64_t state) { return MixBits(state + kSplitMixStep); }

}  // namespace cairn
