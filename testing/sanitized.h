// Whether a sanitizer watches this build (`make test-asan`, `make test-tsan`). For tests alone: it
// makes everything 5 to 20 times slower, so they take fewer samples then, and give more time.
#pragma once

#include <cstdint>

namespace cairn {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

// How many of the samples that `make test` takes are taken in this build.
constexpr uint64_t Samples(uint64_t count) { return kSanitized ? (count + 9) / 10 : count; }
// The ticks of clusters, and what is waited for, are so many times as long. A leader whose threads
// wait for a processor longer than an election timeout is deposed, again and again: under a
// sanitizer on a busy machine, nothing else would happen.
inline constexpr int kSlowness = kSanitized ? 4 : 1;
// Every how many of what `make test` tries each of, or each `stride`th.
constexpr uint64_t Stride(uint64_t stride) { return kSanitized ? 7 * stride : stride; }

}  // namespace cairn
