// LineSource: the lines of a file or a pipe.
#pragma once

#include <string>

namespace cairn::tools {

// Not thread-safe. Does not own the descriptor.
class LineSource {
 public:
  explicit LineSource(int fd) : fd_(fd) {}

  // A whole line, or the end, can be had without waiting for whoever writes to the pipe.
  bool HasMore();
  // The next line without its end. False: there is none.
  bool Next(std::string* line);

 private:
  bool Fill();

  const int fd_;
  std::string buffer_;
  size_t at_ = 0;
  bool ended_ = false;
};

}  // namespace cairn::tools
