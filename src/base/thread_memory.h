// How much memory this thread has taken.
#pragma once

#include <cstdint>

namespace cairn {

// Bytes allocated less bytes freed on the calling thread since it began. Two calls around a piece
// of work tell what the work holds. 0 where the allocator does not count (the sanitizers' own).
int64_t ThreadHeapBytes();

}  // namespace cairn
