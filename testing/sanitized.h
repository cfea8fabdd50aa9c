// Tells whether this build runs under a sanitizer (`make test-asan`, `make test-tsan`). Only tests
// use it: a sanitizer makes everything 5 to 20 times slower, so the tests then take fewer samples
// and allow more time.
#pragma once

#include <cstdint>

namespace cairn {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

// The number of samples to take in this build, given the number that `make test` takes.
constexpr uint64_t Samples(uint64_t count) { return kSanitized ? (count + 9) / 10 : count; }
// The factor for the ticks of clusters and for waiting times. A leader whose threads wait for a
// processor longer than an election timeout is deposed, again and again. Under a sanitizer on a
// busy machine nothing else would happen.
inline constexpr int kSlowness = kSanitized ? 4 : 1;
// `make test` tries each case, or each `stride`th. This returns the stride for this build.
constexpr uint64_t Stride(uint64_t stride) { return kSanitized ? 7 * stride : stride; }

}  // namespace cairn
