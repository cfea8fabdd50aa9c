#include "base/locked_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/status.h"

namespace cairn {

// The file may be renamed or removed between the opening and the lock, because its writer is done.
// Then there is another file of the name, or none.
Result<std::unique_ptr<LockedFile>> LockedFile::Acquire(const std::string& path) {
  for (;;) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return ErrnoStatus("open " + path, errno);
    std::unique_ptr<LockedFile> file(new LockedFile(fd));
    if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) return ErrnoStatus("lock " + path, errno);
      return FailedPrecondition("another process is writing " + path);
    }
    struct stat mine {};
    struct stat named {};
    if (::fstat(fd, &mine) == 0 && ::lstat(path.c_str(), &named) == 0 &&
        mine.st_ino == named.st_ino && mine.st_dev == named.st_dev) {
      return file;
    }
  }
}

LockedFile::~LockedFile() { ::close(fd_); }

}  // namespace cairn
