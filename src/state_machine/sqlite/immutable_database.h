// Reading a database file that nobody writes, without leaving anything beside it.
#pragma once

#include <sqlite3.h>

#include <functional>
#include <string>

#include "base/result.h"
#include "raft/types.h"

namespace cairn::state_machine {

// Opens the file, and nothing but the file: neither a `-wal` beside it is read nor are `-wal` and
// `-shm` made, as an ordinary open of a file in WAL mode would. Then calls `use` and closes it.
Result<raft::SnapshotMeta> WithImmutableDatabase(
    const char* vfs, const std::string& path, size_t cache_bytes,
    const std::function<Result<raft::SnapshotMeta>(sqlite3*)>& use);

}  // namespace cairn::state_machine
