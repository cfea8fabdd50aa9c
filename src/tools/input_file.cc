#include "tools/input_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace cairn::tools {
namespace {

constexpr size_t kReadBytes = 64u << 10;

}  // namespace

Result<std::unique_ptr<InputFile>> InputFile::Open(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus("open " + path, errno);
  return std::unique_ptr<InputFile>(new InputFile(fd, true, path));
}

std::unique_ptr<InputFile> InputFile::StandardInput() {
  return std::unique_ptr<InputFile>(new InputFile(STDIN_FILENO, false, "standard input"));
}

InputFile::InputFile(int fd, bool owns, std::string name)
    : fd_(fd), owns_(owns), name_(std::move(name)), buffer_(kReadBytes) {}

InputFile::~InputFile() {
  if (owns_) close(fd_);
}

InputFile::int_type InputFile::underflow() {
  ssize_t n = -1;
  do {
    n = read(fd_, buffer_.data(), buffer_.size());
  } while (n < 0 && errno == EINTR);
  if (n < 0) failure_ = ErrnoStatus("read " + name_, errno);
  if (n <= 0) return traits_type::eof();
  setg(buffer_.data(), buffer_.data(), buffer_.data() + n);
  return traits_type::to_int_type(*gptr());
}

}  // namespace cairn::tools
