// LockedFile: a file that one process at a time may write under its name.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"

namespace cairn {

// Holds the lock until the LockedFile is destroyed or the process ends in any way. The lock stays
// with the file when the file is renamed.
class LockedFile {
 public:
  // Opens the file, or creates it with mode 0600. Follows no symbolic link in the file's place.
  // FAILED_PRECONDITION if another process (or this one, by another LockedFile) holds it.
  static Result<std::unique_ptr<LockedFile>> Acquire(const std::string& path);
  ~LockedFile();
  LockedFile(const LockedFile&) = delete;
  LockedFile& operator=(const LockedFile&) = delete;

 private:
  explicit LockedFile(int fd) : fd_(fd) {}
  const int fd_;
};

}  // namespace cairn
