#include "client/backup_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/checksum_file.h"
#include "base/path.h"

namespace cairn::client {
namespace {

std::string NameOf(const std::string& path) { return path.substr(path.rfind('/') + 1); }

// A descriptor of the file with the lock on it. The file may be renamed between the opening and the
// lock, because its backup was complete; then there is another file of the name, or none.
Result<int> OpenLocked(const std::string& path) {
  for (;;) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return ErrnoStatus("open " + path, errno);
    if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
      const int error = errno;
      ::close(fd);
      if (error != EWOULDBLOCK) return ErrnoStatus("lock " + path, error);
      return FailedPrecondition("another process is writing " + path);
    }
    struct stat mine {};
    struct stat named {};
    if (::fstat(fd, &mine) == 0 && ::stat(path.c_str(), &named) == 0 &&
        mine.st_ino == named.st_ino && mine.st_dev == named.st_dev) {
      return fd;
    }
    ::close(fd);
  }
}

}  // namespace

Result<std::unique_ptr<BackupFile>> BackupFile::Create(const std::string& path) {
  if (path.empty() || path.back() == '/') return InvalidArgument("the backup needs a file name");
  struct stat st {};
  if (::stat(path.c_str(), &st) == 0 && !S_ISREG(st.st_mode)) {
    return FailedPrecondition(path + " is not a regular file");
  }
  ASSIGN_OR_RETURN(const int lock, OpenLocked(path + ".partial"));
  std::unique_ptr<BackupFile> file(new BackupFile(path, lock));
  ASSIGN_OR_RETURN(file->file_, file->fs_.Open(file->partial(), /*create=*/false));
  RETURN_IF_ERROR(file->Clear());
  return file;
}

BackupFile::~BackupFile() {
  if (!committed_) ::unlink(partial().c_str());
  ::close(lock_);
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
