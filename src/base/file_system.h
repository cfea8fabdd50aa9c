// Files behind an interface, so that tests and the simulator can lose, tear and refuse writes.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/status.h"

namespace cairn {

// An open file. One owner, one thread at a time. Closed when destroyed.
class File {
 public:
  virtual ~File() = default;
  // Up to `size` bytes from `offset`; fewer only at the end of the file.
  virtual Result<std::string> ReadAt(uint64_t offset, size_t size) const = 0;
  // All of `data`, or an error. Not durable before Sync.
  virtual Status WriteAt(uint64_t offset, std::string_view data) = 0;
  // fdatasync: what was written, and the file's size, are on stable storage. After an error the
  // state of what was written is unknown for ever (fsync may report an error once and then
  // succeed): the caller must stop, never try again.
  virtual Status Sync() = 0;
  // Has these bytes written to the disk soon, so that less is left for a later Sync. Promises
  // nothing.
  virtual void StartSync(uint64_t /*offset*/, size_t /*size*/) {}
  virtual Status Truncate(uint64_t size) = 0;
  virtual Result<uint64_t> Size() const = 0;
};

// Thread-safe. Paths are whole paths.
class FileSystem {
 public:
  virtual ~FileSystem() = default;
  // Opens for reading and writing; with `create`, makes an empty one if there is none.
  virtual Result<std::unique_ptr<File>> Open(const std::string& path, bool create) = 0;
  virtual Result<bool> Exists(const std::string& path) = 0;
  // Bytes of the file; NOT_FOUND if there is none. The operating system's opens nothing for it: to
  // close a file that SQLite has open would release the locks of this process.
  virtual Result<uint64_t> SizeOf(const std::string& path);
  // Names (not paths) of the files in a directory, sorted.
  virtual Result<std::vector<std::string>> List(const std::string& directory) = 0;
  // mkdir -p; what it makes is durable. Of a directory that is there it says nothing: whoever made
  // it may not have come to its sync.
  virtual Status CreateDirectories(const std::string& path) = 0;
  virtual Status Rename(const std::string& from, const std::string& to) = 0;
  // Gives `to` the mode and the owner of `from`, as far as this process may. No error if there is
  // no `from`. A file system without modes does nothing.
  virtual Status CopyMode(const std::string& /*from*/, const std::string& /*to*/) {
    return OkStatus();
  }
  // No error if there is none.
  virtual Status Remove(const std::string& path) = 0;
  // Makes creations, renames and removals in the directory durable.
  virtual Status SyncDirectory(const std::string& directory) = 0;
  // Bytes an ordinary user may still write on the file system that holds `path`.
  virtual Result<uint64_t> FreeBytes(const std::string& path) = 0;
};

// The operating system's. Lives for the whole process.
FileSystem& PosixFileSystem();

// Writes `data` to `path` so that after a crash the file holds either the old or the new content:
// temporary file, sync, rename, sync of the directory.
Status WriteFileAtomically(FileSystem& fs, const std::string& path, std::string_view data);
Result<std::string> ReadWholeFile(FileSystem& fs, const std::string& path, size_t size_max);

}  // namespace cairn
