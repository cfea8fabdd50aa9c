// The settings of the writing connection: SQLite's limits, options and PRAGMAs. They are part of
// what the database means, so they are the same on every node.
#pragma once

#include <sqlite3.h>

#include <cstddef>
#include <string>

#include "base/status.h"
#include "state_machine/sqlite/storage.h"

namespace cairn::state_machine {

// Opens the file, or creates it with mode 0600. `vfs` is a VFS on top of that of `storage`. Fails
// if the file system does not allow WAL mode. The caller closes *db, also on failure.
Status OpenWriteConnection(const Storage& storage, const std::string& path, const char* vfs,
                           size_t cache_bytes, sqlite3** db);

}  // namespace cairn::state_machine
