// `cairn restore`: makes a new cluster, of one node, from a backup.
#pragma once

#include <ostream>

#include "server/restore.h"

namespace cairn::tools {

// Returns the exit code. `check_only`: makes nothing.
int RunRestore(server::RestoreOptions options, bool check_only, std::ostream* out,
               std::ostream* err);

}  // namespace cairn::tools
