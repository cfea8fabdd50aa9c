// An open directory, for an owner that may not fail for lack of a descriptor between a rename and
// its sync.
#pragma once

#include <memory>
#include <string>

#include "base/file_system.h"
#include "base/result.h"
#include "base/status.h"

namespace cairn {

// One owner, one thread at a time.
class Directory {
 public:
  virtual ~Directory() = default;
  // As FileSystem::SyncDirectory, without a new descriptor.
  virtual Status Sync() = 0;
};

// Opens a directory of the operating system. A file system without descriptors gives its directory
// by name. `fs` must outlive the directory.
Result<std::unique_ptr<Directory>> OpenDirectory(FileSystem& fs, const std::string& path);

}  // namespace cairn
