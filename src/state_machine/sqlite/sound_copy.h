// Whether a copy of the database holds what was written to it.
#pragma once

#include <sqlite3.h>

#include "base/result.h"
#include "raft/types.h"

namespace cairn::state_machine {

// The meta of a database whose rows are those that were written, and whose tables of Cairn can be
// opened. DATA_LOSS if not. Reads the whole file.
Result<raft::SnapshotMeta> ReadMetaOfSound(sqlite3* db);
// The same of a file of Cairn 0.1, whose tables are converted when the file is opened in its place.
Result<raft::SnapshotMeta> ReadMetaOfOld(sqlite3* db);

}  // namespace cairn::state_machine
