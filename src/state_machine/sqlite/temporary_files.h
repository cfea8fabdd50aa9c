// TemporaryFiles: a bound on the temporary files of queries.
//
// A query that sorts, groups or keeps rows writes them to a file that has no name. Nothing else
// bounds the file: twelve queries of an ordinary reader fill a disk within a minute, and the log of
// the node has no room left then.
//
// SQLite sees a VFS on top of another one, which counts the bytes of such files. At the bound a
// write of them fails, and so does the query.
#pragma once

#include <sqlite3.h>

#include <atomic>
#include <cstdint>
#include <string>

#include "base/status.h"

namespace cairn::state_machine {

struct TemporaryFilesOptions {
  const char* base = nullptr;           // the VFS that has the files; null: SQLite's own
  uint64_t bytes_max = 512 << 20;       // of all files
  uint64_t file_bytes_max = 256 << 20;  // of one
};

// RESOURCE_EXHAUSTED: what a query ends with at the bound.
Status NoRoomToSort();

// Thread-safe. Must outlive all connections that were opened with it.
class TemporaryFiles {
 public:
  explicit TemporaryFiles(const TemporaryFilesOptions& options);
  ~TemporaryFiles();
  TemporaryFiles(const TemporaryFiles&) = delete;
  TemporaryFiles& operator=(const TemporaryFiles&) = delete;

  const char* name() const { return name_.c_str(); }
  // Of all files at this moment.
  uint64_t bytes() const { return bytes_; }

 private:
  struct Vfs : sqlite3_vfs {
    TemporaryFiles* files;
  };
  // A file of SQLite's that is counted. The file of the base VFS lies behind it.
  struct File;

  static int Open(sqlite3_vfs* vfs, sqlite3_filename path, sqlite3_file* file, int flags,
                  int* out_flags);
  static int CurrentTime(sqlite3_vfs* vfs, double* julian_day);
  static int CurrentTimeInt64(sqlite3_vfs* vfs, sqlite3_int64* julian_ms);
  // False: there is no room for so many more bytes in a file of `size` bytes.
  bool Grow(uint64_t size, uint64_t more);

  sqlite3_vfs* const base_;
  const std::string name_;
  const TemporaryFilesOptions options_;
  std::atomic<uint64_t> bytes_{0};
  Vfs vfs_{};
};

}  // namespace cairn::state_machine
