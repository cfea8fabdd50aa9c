// Storage: where the files of a database are.
#pragma once

#include "base/file_system.h"

namespace cairn::state_machine {

// Two ways to the same files: `fs` for Cairn's own work, and the name of a VFS for SQLite. A null
// name is SQLite's own VFS, which belongs to PosixFileSystem().
struct Storage {
  FileSystem& fs = PosixFileSystem();
  const char* vfs = nullptr;
};

}  // namespace cairn::state_machine
