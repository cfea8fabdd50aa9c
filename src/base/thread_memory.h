// How much heap memory the calling thread has allocated.
#pragma once

#include <cstdint>

namespace cairn {

// Bytes allocated minus bytes freed on the calling thread since the thread began. The difference of
// two calls around a piece of work is what the work holds. 0 if the allocator does not count (the
// sanitizers' own allocators).
int64_t ThreadHeapBytes();

}  // namespace cairn
