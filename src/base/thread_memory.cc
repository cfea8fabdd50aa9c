#include "base/thread_memory.h"

#include <cstddef>

// jemalloc's function (docs/decisions/008-jemalloc.md), present in programs that are linked with
// jemalloc.
extern "C" int mallctl(const char* name, void* old, size_t* old_bytes, void* fresh,
                       size_t fresh_bytes) __attribute__((weak));

namespace cairn {
namespace {

// The address of jemalloc's counter for the calling thread; reading the counter costs a load.
const uint64_t* Counter(const char* name) {
  static constexpr uint64_t kNone = 0;
  const uint64_t* counter = &kNone;
  size_t bytes = sizeof(counter);
  if (mallctl == nullptr || mallctl(name, &counter, &bytes, nullptr, 0) != 0) return &kNone;
  return counter;
}

}  // namespace

int64_t ThreadHeapBytes() {
  thread_local const uint64_t* const kAllocated = Counter("thread.allocatedp");
  thread_local const uint64_t* const kFreed = Counter("thread.deallocatedp");
  return static_cast<int64_t>(*kAllocated - *kFreed);
}

}  // namespace cairn
