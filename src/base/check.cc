#include "base/check.h"

#include <cstdio>
#include <cstdlib>

#ifndef CAIRN_LOADABLE_EXTENSION  // which has no log
#include "base/log.h"
#endif

namespace cairn {

void CheckFailed(const char* file, int line, const char* condition, const std::string& detail) {
  std::fprintf(stderr, "%s:%d: CHECK failed: %s %s\n", file, line, condition, detail.c_str());
  std::fflush(stderr);
#ifndef CAIRN_LOADABLE_EXTENSION
  FlushLog();
#endif
  std::abort();
}

}  // namespace cairn
