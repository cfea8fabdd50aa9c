// Reads a database file that nobody writes, and creates no file beside it.
#pragma once

#include <sqlite3.h>

#include <functional>
#include <string>

#include "base/result.h"
#include "raft/types.h"

namespace cairn::state_machine {

// Opens the file, calls `use`, and closes the file. An ordinary open of a file in WAL mode would
// read a `-wal` beside it and create `-wal` and `-shm`; this open does neither.
Result<raft::SnapshotMeta> WithImmutableDatabase(
    const char* vfs, const std::string& path, size_t cache_bytes,
    const std::function<Result<raft::SnapshotMeta>(sqlite3*)>& use);

}  // namespace cairn::state_machine
