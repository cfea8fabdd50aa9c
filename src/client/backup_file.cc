#include "client/backup_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "base/checksum_file.h"
#include "base/path.h"

namespace cairn::client {
namespace {

std::string NameOf(const std::string& path) { return path.substr(path.rfind('/') + 1); }

bool Exists(const std::string& path) {
  struct stat st {};
  return ::lstat(path.c_str(), &st) == 0;
}

// A backup replaces the backup of the same name, and no other file: the database of a node least of
// all, which the node would go on writing under no name.
Status CheckReplaceable(const std::string& path) {
  for (const char* suffix : {".cairn", "-wal", "-journal"}) {
    if (!Exists(path + suffix)) continue;
    return FailedPrecondition(path + " is a database in use: " + path + suffix +
                              " is beside it. Name another file");
  }
  struct stat st {};
  if (::stat(path.c_str(), &st) != 0) return OkStatus();
  if (!S_ISREG(st.st_mode)) return FailedPrecondition(path + " is not a regular file");
  // A machine that stopped between the two names has left the checksum of the newer one as partial.
  const std::string checksum = ChecksumPath(path);
  if (Exists(checksum) || Exists(checksum + ".partial")) return OkStatus();
  return FailedPrecondition(path + " is there and is no backup: there is no " + checksum +
                            ". Name another file, or move this one aside");
}

}  // namespace

Result<std::unique_ptr<BackupFile>> BackupFile::Create(const std::string& path) {
  if (path.empty() || path.back() == '/') return InvalidArgument("the backup needs a file name");
  RETURN_IF_ERROR(CheckReplaceable(path));
  ASSIGN_OR_RETURN(std::unique_ptr<LockedFile> lock, LockedFile::Acquire(path + ".partial"));
  std::unique_ptr<BackupFile> file(new BackupFile(path, std::move(lock)));
  ASSIGN_OR_RETURN(file->file_, file->fs_.Open(file->partial(), /*create=*/false));
  RETURN_IF_ERROR(file->Clear());
  return file;
}

BackupFile::~BackupFile() {
  if (!committed_) ::unlink(partial().c_str());
}

Status BackupFile::CheckRoom(uint64_t bytes) const {
  ASSIGN_OR_RETURN(const uint64_t free, fs_.FreeBytes(ParentOf(path_)));
  if (free >= bytes) return OkStatus();
  return ResourceExhausted("the backup has " + std::to_string(bytes) + " bytes, and only " +
                           std::to_string(free) + " are free in " + ParentOf(path_));
}

Status BackupFile::Append(std::string_view bytes) {
  RETURN_IF_ERROR(file_->WriteAt(size_, bytes));
  file_->StartSync(size_, bytes.size());
  sum_->Add(bytes);
  size_ += bytes.size();
  return OkStatus();
}

Status BackupFile::Clear() {
  size_ = 0;
  sum_ = std::make_unique<Sha256>();
  return file_->Truncate(0);
}

Result<std::string> BackupFile::Commit(const std::map<std::string, std::string>& notes) {
  RETURN_IF_ERROR(file_->Sync());
  const std::string sha256 = sum_->Hex();
  const std::string checksum = ChecksumPath(path_);
  const std::string checksum_partial = checksum + ".partial";
  // Written before the file has its name, while the disk may still be full.
  Status written = WriteFileAtomically(fs_, checksum_partial,
                                       EncodeChecksumFile({sha256, NameOf(path_), notes}));
  if (written.ok()) written = fs_.Rename(partial(), path_);
  if (!written.ok()) {
    ::unlink((checksum_partial + ".tmp").c_str());
    ::unlink(checksum_partial.c_str());
    return written;
  }
  committed_ = true;
  RETURN_IF_ERROR(fs_.Rename(checksum_partial, checksum));
  RETURN_IF_ERROR(fs_.SyncDirectory(ParentOf(path_)));
  return sha256;
}

}  // namespace cairn::client
