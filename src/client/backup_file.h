// BackupFile: a file that appears under its name only when it is whole and stored.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/file_system.h"
#include "base/locked_file.h"
#include "base/result.h"
#include "base/sha256.h"

namespace cairn::client {

// Writes PATH.partial, which one process at a time may hold. The destructor removes what was not
// committed. A process that is killed leaves PATH.partial, which the next backup uses.
class BackupFile {
 public:
  // FAILED_PRECONDITION if another process writes a backup of this name, or if the name is that of a
  // node's database, or of a file that is no backup.
  static Result<std::unique_ptr<BackupFile>> Create(const std::string& path);
  ~BackupFile();
  BackupFile(const BackupFile&) = delete;
  BackupFile& operator=(const BackupFile&) = delete;

  // RESOURCE_EXHAUSTED if the disk has no room for this many bytes.
  Status CheckRoom(uint64_t bytes) const;
  Status Append(std::string_view bytes);
  // Begins anew.
  Status Clear();
  uint64_t size() const { return size_; }

  // Stores the file, gives it its name, and puts the checksum, with these notes, beside it. Returns
  // the SHA-256.
  Result<std::string> Commit(const std::map<std::string, std::string>& notes);

 private:
  BackupFile(std::string path, std::unique_ptr<LockedFile> lock)
      : path_(std::move(path)), lock_(std::move(lock)) {}
  std::string partial() const { return path_ + ".partial"; }

  FileSystem& fs_ = PosixFileSystem();
  const std::string path_;
  const std::unique_ptr<LockedFile> lock_;  // of the partial file
  std::unique_ptr<File> file_;
  std::unique_ptr<Sha256> sum_;
  uint64_t size_ = 0;
  bool committed_ = false;
};

}  // namespace cairn::client
