// ConditionsOf: what of a node needs somebody, ahead of trouble where that is possible.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "server/event_ring.h"
#include "server/node_figures.h"

namespace cairn::server {

// What a client told of its last backup.
struct BackupNotes {
  uint64_t verified = 0;  // since the process began
  uint64_t failed = 0;
  int64_t last_verified_s = 0;  // of the Unix epoch; 0: none
  std::string failure;          // of the last one; empty: it is whole
  std::string place;
};

struct Watched {
  NodeFigures figures;
  SteadyTime turned_ago{0};  // since the core thread last turned
  int64_t wall_s = 0;
  BackupNotes backups;
};

// Pure: the same figures give the same conditions. docs/operations/events.md lists the kinds.
std::vector<Condition> ConditionsOf(const Watched& watched);

}  // namespace cairn::server
