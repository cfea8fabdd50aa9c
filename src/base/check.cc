#include "base/check.h"

#include <cstdio>
#include <cstdlib>

#include "base/log.h"

namespace cairn {

void CheckFailed(const char* file, int line, const char* condition, const std::string& detail) {
  std::fprintf(stderr, "%s:%d: CHECK failed: %s %s\n", file, line, condition, detail.c_str());
  std::fflush(stderr);
  FlushLog();
  std::abort();
}

}  // namespace cairn
