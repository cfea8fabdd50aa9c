// A load that accounts for each of its writes: each acknowledged write must be there exactly once,
// on all nodes.
#pragma once

#include <chrono>
#include <ostream>
#include <string>
#include <vector>

#include "base/status.h"

namespace cairn::tools {

struct LoadOptions {
  std::vector<std::string> addresses;
  std::string ledger_path;  // what became of each write
  std::chrono::milliseconds duration{5'000};
  int writers = 8;
  std::chrono::milliseconds call_timeout{10'000};
};

// Inserts rows one by one from several writers, through cairn::Client, for the given time, and
// writes the ledger. Not OK if nothing was acknowledged.
Status RunLoad(const LoadOptions& options, std::ostream* out);

// Checks every node: an acknowledged row of the ledger is there exactly once; a row that was surely
// not applied is not there; a row of unknown outcome is there at most once, on all nodes or on
// none.
Status CheckLoad(const LoadOptions& options, std::ostream* out);

}  // namespace cairn::tools
