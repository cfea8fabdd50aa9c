// The local cluster of `cairn dev`: several nodes as child processes on loopback.
#pragma once

#include <chrono>
#include <ostream>
#include <string>
#include <vector>

#include "base/status.h"
#include "tools/child_process.h"
#include "tools/stop_signals.h"

namespace cairn::tools {

struct DevOptions {
  int nodes = 3;
  std::string directory;  // node N's file is nodeN.db, its log nodeN.log
  uint16_t base_port = 50051;
  std::chrono::milliseconds start_timeout{30'000};
  std::chrono::milliseconds stop_timeout{15'000};
};

// Runs the cluster until SIGINT or SIGTERM, then stops all nodes. A node that ends is reported and
// not started again. Returns the exit code: 0 after a signal; 1 if the cluster did not come up, if
// all nodes ended by themselves, or if one had to be killed. Call it before any other thread
// exists.
int RunDevCluster(const DevOptions& options, std::ostream* out);

}  // namespace cairn::tools
