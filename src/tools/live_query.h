// `cairn watch --query`: prints the result of a query again and again, as the data change.
#pragma once

#include <chrono>
#include <ostream>
#include <string>
#include <vector>

#include "cairn/client.h"
#include "tools/stop_signals.h"

namespace cairn::tools {

struct LiveQueryCommand {
  std::vector<std::string> addresses;
  std::string sql;
  std::chrono::milliseconds interval{1000};
  bool json = false;
  bool for_terminal = false;
};

// Prints until a signal comes (0), or the watch fails (1). `signals` was made before any thread.
int RunLiveQuery(const LiveQueryCommand& command, StopSignals* signals, std::ostream* out,
                 std::ostream* err);

}  // namespace cairn::tools
