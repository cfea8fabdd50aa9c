// LineSource: the lines of a file or a pipe.
#pragma once

#include <string>

#include "base/status.h"

namespace cairn::tools {

// Not thread-safe. Does not own the descriptor.
class LineSource {
 public:
  explicit LineSource(int fd) : fd_(fd) {}

  // A whole line, or the end, can be had without waiting for whoever writes to the pipe.
  bool HasMore();
  // The next line without its end. False: there is none.
  bool Next(std::string* line);
  // Why a read has failed. OK: none has, so the end that was seen is that of the input.
  const Status& failure() const { return failure_; }

 private:
  bool Fill();

  const int fd_;
  std::string buffer_;
  size_t at_ = 0;
  bool ended_ = false;
  Status failure_;
};

}  // namespace cairn::tools
