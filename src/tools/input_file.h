// InputFile: the bytes of a file or a pipe, as a stream whose errors can be told from its end.
#pragma once

#include <memory>
#include <streambuf>
#include <string>
#include <vector>

#include "base/result.h"

namespace cairn::tools {

// The buffer of the standard library throws when a read fails, such as that of a directory, or its
// stream takes the failure for the end of the file. Here the stream ends, and failure() says why. Not
// thread-safe.
class InputFile final : public std::streambuf {
 public:
  static Result<std::unique_ptr<InputFile>> Open(const std::string& path);
  static std::unique_ptr<InputFile> StandardInput();
  ~InputFile() override;
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  // Why a read has failed. OK: none has, so an end that was seen is that of the file.
  const Status& failure() const { return failure_; }

 protected:
  int_type underflow() override;

 private:
  InputFile(int fd, bool owns, std::string name);

  const int fd_;
  const bool owns_;
  const std::string name_;
  std::vector<char> buffer_;
  Status failure_;
};

}  // namespace cairn::tools
