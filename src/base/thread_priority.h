// The priority of threads.
#pragma once

namespace cairn {

// Gives the calling thread, and the threads that it starts afterwards, a lower share of the
// processors than the threads that answer clients. For work that nobody waits for by the second:
// scrubs, snapshots, backups. On an idle machine the work is as fast as before. A failure is
// ignored, because only speed depends on it.
void LowerThreadPriority();

}  // namespace cairn
