#include "tools/read_back.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

#include "base/sha256.h"

namespace cairn::tools {
namespace {

constexpr size_t kPieceBytes = 1 << 20;

}  // namespace

Result<std::string> Sha256OfStored(const std::string& path, const std::function<bool()>& goes_on) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return ErrnoStatus("open " + path, errno);
  Sha256 sum;
  std::string piece(kPieceBytes, '\0');
  // Only pages that are stored are given up; a file system without a cache does nothing.
  ::posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
  Status status;
  for (;;) {
    if (goes_on && !goes_on()) status = Cancelled("the backup was stopped");
    const ssize_t n = status.ok() ? ::read(file, piece.data(), piece.size()) : 0;
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) status = ErrnoStatus("read " + path, errno);
    if (n <= 0) break;
    sum.Add(std::string_view(piece.data(), static_cast<size_t>(n)));
  }
  ::close(file);
  if (!status.ok()) return status;
  return sum.Hex();
}

}  // namespace cairn::tools
