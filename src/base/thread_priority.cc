#include "base/thread_priority.h"

#include <sys/resource.h>
#include <unistd.h>

namespace cairn {
namespace {

constexpr int kNiceness = 10;

}  // namespace

void LowerThreadPriority() {
  // On Linux this sets the niceness of one thread. New threads inherit it from their creator.
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), kNiceness);
}

}  // namespace cairn
