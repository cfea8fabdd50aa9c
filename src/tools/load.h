// A load whose every write is accounted for: what was acknowledged must be there, once, on all
// nodes.
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
// writes the ledger. Not OK if nothing at all was acknowledged.
Status RunLoad(const LoadOptions& options, std::ostream* out);

// Demands of every node: each acknowledged row of the ledger is there exactly once, each row that
// was surely not applied is not, each of unknown outcome at most once and on all nodes or none.
Status CheckLoad(const LoadOptions& options, std::ostream* out);

}  // namespace cairn::tools
