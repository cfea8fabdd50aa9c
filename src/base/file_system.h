// An interface to files, so that tests and the simulator can lose, tear and refuse writes.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/status.h"

namespace cairn {

// An open file. One owner, one thread at a time. The destructor closes the file.
class File {
 public:
  virtual ~File() = default;
  // Reads up to `size` bytes from `offset`; fewer only at the end of the file.
  virtual Result<std::string> ReadAt(uint64_t offset, size_t size) const = 0;
  // Writes all of `data`, or returns an error. The data is not durable before Sync.
  virtual Status WriteAt(uint64_t offset, std::string_view data) = 0;
  // fdatasync: the written data and the file's size are on stable storage. After an error the state
  // of the written data is unknown for ever (fsync may report an error once and then succeed). The
  // caller must stop and never retry.
  virtual Status Sync() = 0;
  // Asks for these bytes to be written to the disk soon, so that a later Sync has less to write.
  // Promises nothing.
  virtual void StartSync(uint64_t /*offset*/, size_t /*size*/) {}
  virtual Status Truncate(uint64_t size) = 0;
  virtual Result<uint64_t> Size() const = 0;
};

// Thread-safe. Paths are whole paths.
class FileSystem {
 public:
  virtual ~FileSystem() = default;
  // Opens a file for reading and writing. With `create`, creates an empty file if there is none.
  virtual Result<std::unique_ptr<File>> Open(const std::string& path, bool create) = 0;
  virtual Result<bool> Exists(const std::string& path) = 0;
  // The size of the file in bytes; NOT_FOUND if there is no such file. The operating system's
  // implementation does not open the file: closing a file that SQLite has open would release this
  // process's locks on it.
  virtual Result<uint64_t> SizeOf(const std::string& path);
  // Names (not paths) of the files in a directory, sorted.
  virtual Result<std::vector<std::string>> List(const std::string& directory) = 0;
  // mkdir -p. The directories that the call creates are durable. A directory that already exists
  // may not be durable: whoever created it may not have synced it yet.
  virtual Status CreateDirectories(const std::string& path) = 0;
  virtual Status Rename(const std::string& from, const std::string& to) = 0;
  // Gives `to` the mode and the owner of `from`, as far as this process may. It is no error if
  // `from` does not exist. A file system without modes does nothing.
  virtual Status CopyMode(const std::string& /*from*/, const std::string& /*to*/) {
    return OkStatus();
  }
  // It is no error if there is no such file.
  virtual Status Remove(const std::string& path) = 0;
  // Makes creations, renames and removals in the directory durable.
  virtual Status SyncDirectory(const std::string& directory) = 0;
  // The number of bytes that an ordinary user may still write on the file system that holds `path`.
  virtual Result<uint64_t> FreeBytes(const std::string& path) = 0;
};

// The operating system's file system. It lives for the whole process.
FileSystem& PosixFileSystem();

// Writes `data` to `path` so that after a crash the file holds either the old or the new content:
// writes a temporary file, syncs it, renames it, and syncs the directory.
Status WriteFileAtomically(FileSystem& fs, const std::string& path, std::string_view data);
Result<std::string> ReadWholeFile(FileSystem& fs, const std::string& path, size_t size_max);

}  // namespace cairn
