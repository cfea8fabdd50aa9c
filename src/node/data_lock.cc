#include "node/data_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace cairn::node {

Result<std::unique_ptr<DataLock>> DataLock::Acquire(const std::string& directory) {
  const std::string path = directory + "/LOCK";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return ErrnoStatus("open " + path, errno);
  // flock, not a POSIX record lock. A record lock would be lost as soon as any other code of this
  // process opened and closed the file, and would not stop a second DataLock in this process.
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    const int error = errno;
    char holder[32] = {};
    const ssize_t n = ::pread(fd, holder, sizeof(holder) - 1, 0);
    ::close(fd);
    if (error != EWOULDBLOCK) return ErrnoStatus("lock " + path, error);
    std::string who = n > 0 ? " (process " + std::string(holder, static_cast<size_t>(n)) + ")" : "";
    return FailedPrecondition(directory + " is in use by another process" + who);
  }
  // Only the message above needs the process id; the lock itself is the kernel's. The id is written
  // over what is there, and a failure does not matter, so that a node starts on a full disk.
  const std::string pid = std::to_string(::getpid());
  const ssize_t written = ::pwrite(fd, pid.data(), pid.size(), 0);
  static_cast<void>(::ftruncate(fd, std::max<ssize_t>(written, 0)) == 0);
  return std::unique_ptr<DataLock>(new DataLock(fd));
}

DataLock::~DataLock() { ::close(fd_); }

}  // namespace cairn::node
