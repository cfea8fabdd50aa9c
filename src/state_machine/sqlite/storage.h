// Where the files of a database are.
#pragma once

#include "base/file_system.h"

namespace cairn::state_machine {

// Two doors to the same files: `fs` for what Cairn does itself, and for SQLite the name of a VFS;
// null is SQLite's own, which belongs to PosixFileSystem().
struct Storage {
  FileSystem& fs = PosixFileSystem();
  const char* vfs = nullptr;
};

}  // namespace cairn::state_machine
