// The names of threads, as `top -H`, debuggers and /proc/PID/task/*/comm show them.
#pragma once

namespace cairn {

// Names the calling thread. At most 15 characters count.
void NameThread(const char* name);

}  // namespace cairn
