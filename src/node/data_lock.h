// DataLock: one process at a time on one data directory.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "base/status.h"

namespace cairn::node {

// Holds `directory`/LOCK until the DataLock is destroyed or the process ends in any way. Take the
// lock before anything else in the directory is opened: a second process that opened the log or the
// SQLite file would already have done harm.
class DataLock {
 public:
  // The directory must exist. FAILED_PRECONDITION, naming the holder's process id, if another
  // process (or this one, by another DataLock) holds it.
  static Result<std::unique_ptr<DataLock>> Acquire(const std::string& directory);
  ~DataLock();
  DataLock(const DataLock&) = delete;
  DataLock& operator=(const DataLock&) = delete;

 private:
  explicit DataLock(int fd) : fd_(fd) {}
  const int fd_;
};

}  // namespace cairn::node
