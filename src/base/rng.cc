#include "base/rng.h"

#include <sys/random.h>

#include <bit>

#include "base/check.h"
#include "base/splitmix.h"

namespace cairn {

Rng::Rng(uint64_t seed) {
  for (uint64_t& word : state_) {
    word = SplitMix64(seed);
    seed += kSplitMixStep;
  }
}

uint64_t Rng::Next() {
  const uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
  const uint64_t t = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= t;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

uint64_t Rng::Below(uint64_t bound) {
  CHECK(bound > 0);
  // Rejection keeps the result uniform; at most one value in 2^64 / bound is thrown away.
  const uint64_t limit = -bound % bound;
  for (;;) {
    const uint64_t x = Next();
    if (x >= limit) return x % bound;
  }
}

uint64_t SystemEntropy() {
  uint64_t value = 0;
  CHECK(getrandom(&value, sizeof value, 0) == sizeof value) << "getrandom failed";
  return value;
}

}  // namespace cairn
