#include "base/directory.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace cairn {
namespace {

class PosixDirectory final : public Directory {
 public:
  PosixDirectory(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  ~PosixDirectory() override { ::close(fd_); }
  PosixDirectory(const PosixDirectory&) = delete;
  PosixDirectory& operator=(const PosixDirectory&) = delete;

  Status Sync() override {
    if (::fsync(fd_) != 0) return ErrnoStatus("fsync " + path_, errno);
    return OkStatus();
  }

 private:
  const int fd_;
  const std::string path_;
};

class NamedDirectory final : public Directory {
 public:
  NamedDirectory(FileSystem& fs, std::string path) : fs_(fs), path_(std::move(path)) {}
  Status Sync() override { return fs_.SyncDirectory(path_); }

 private:
  FileSystem& fs_;
  const std::string path_;
};

}  // namespace

Result<std::unique_ptr<Directory>> OpenDirectory(FileSystem& fs, const std::string& path) {
  if (&fs != &PosixFileSystem()) {
    return std::unique_ptr<Directory>(std::make_unique<NamedDirectory>(fs, path));
  }
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus("open " + path, errno);
  return std::unique_ptr<Directory>(std::make_unique<PosixDirectory>(fd, path));
}

}  // namespace cairn
