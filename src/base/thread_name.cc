#include "base/thread_name.h"

#include <sys/prctl.h>

namespace cairn {

void NameThread(const char* name) { ::prctl(PR_SET_NAME, name); }

}  // namespace cairn
