#include "tools/line_source.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>

namespace cairn::tools {
namespace {

constexpr size_t kReadBytes = 64u << 10;

}  // namespace

bool LineSource::Fill() {
  if (ended_) return false;
  buffer_.erase(0, at_);
  at_ = 0;
  const size_t old = buffer_.size();
  buffer_.resize(old + kReadBytes);
  ssize_t n = -1;
  do {
    n = read(fd_, buffer_.data() + old, kReadBytes);
  } while (n < 0 && errno == EINTR);
  if (n < 0) failure_ = ErrnoStatus("read standard input", errno);
  buffer_.resize(old + static_cast<size_t>(n < 0 ? 0 : n));
  ended_ = n <= 0;
  return !ended_;
}

bool LineSource::HasMore() {
  for (;;) {
    if (ended_ || buffer_.find('\n', at_) != std::string::npos) return true;
    pollfd watched = {fd_, POLLIN, 0};
    if (poll(&watched, 1, 0) <= 0) return false;
    if (!Fill()) return true;
  }
}

bool LineSource::Next(std::string* line) {
  size_t scanned = at_;
  size_t end = std::string::npos;
  while ((end = buffer_.find('\n', scanned)) == std::string::npos) {
    scanned = buffer_.size() - at_;  // Fill moves what is left to the front
    if (!Fill()) break;
  }
  if (end == std::string::npos && at_ == buffer_.size()) return false;
  const size_t stop = end == std::string::npos ? buffer_.size() : end;
  line->assign(buffer_, at_, stop - at_);
  at_ = end == std::string::npos ? stop : end + 1;
  return true;
}

}  // namespace cairn::tools
