// `cairn watch`: prints the changes of the database as they are committed.
#pragma once

#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cairn/watch.h"
#include "tools/stop_signals.h"

namespace cairn::tools {

struct WatchCommand {
  std::vector<std::string> addresses;
  WatchOptions watch;
  bool json = false;
};

// "12.3" and "12", which is 12.0.
std::optional<ChangePosition> ParsePosition(std::string_view text);
// "insert", "update", "delete" or "schema".
std::optional<ChangeKind> ParseOperation(std::string_view text);

// One line. Empty for what people need not see.
std::string EventLine(const WatchEvent& event, bool json);

// Prints until a signal comes (0), or the watch fails (1). Then tells on `err` where to go on.
// `signals` was made before any thread.
int RunWatch(const WatchCommand& command, StopSignals* signals, std::ostream* out,
             std::ostream* err);

}  // namespace cairn::tools
