#include "tools/spooled_output.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <string>

namespace cairn::tools {
namespace {

constexpr size_t kBufferBytes = 256u << 10;

std::string TemporaryDirectory() {
  for (const char* const name : {"SQLITE_TMPDIR", "TMPDIR"}) {
    const char* const value = std::getenv(name);
    if (value != nullptr && *value != '\0') return value;
  }
  return "/tmp";
}

}  // namespace

Result<std::unique_ptr<SpooledOutput>> SpooledOutput::New(std::ostream* out) {
  std::string path = TemporaryDirectory() + "/cairn-dump-XXXXXX";
  const int file = mkstemp(path.data());
  if (file < 0) return ErrnoStatus("make the temporary file " + path, errno);
  unlink(path.c_str());
  return std::unique_ptr<SpooledOutput>(new SpooledOutput(file, out));
}

SpooledOutput::SpooledOutput(int file, std::ostream* out)
    : file_(file), out_(*out), buffer_(kBufferBytes), copier_([this] { Copy(); }) {
  setp(buffer_.data(), buffer_.data() + buffer_.size());
}

SpooledOutput::~SpooledOutput() {
  if (copier_.joinable()) Finish().ok();
  close(file_);
}

Status SpooledOutput::Finish() {
  Flush();
  {
    MutexLock lock(mutex_);
    ended_ = true;
    changed_.NotifyAll();
  }
  copier_.join();
  MutexLock lock(mutex_);
  return failure_;
}

SpooledOutput::int_type SpooledOutput::overflow(int_type c) {
  if (!Flush()) return traits_type::eof();
  if (!traits_type::eq_int_type(c, traits_type::eof())) sputc(traits_type::to_char_type(c));
  return traits_type::not_eof(c);
}

std::streamsize SpooledOutput::xsputn(const char* bytes, std::streamsize count) {
  if (count <= epptr() - pptr()) {
    traits_type::copy(pptr(), bytes, static_cast<size_t>(count));
    pbump(static_cast<int>(count));
    return count;
  }
  return Flush() && Spool(bytes, static_cast<size_t>(count)) ? count : 0;
}

bool SpooledOutput::Flush() {
  const auto count = static_cast<size_t>(pptr() - pbase());
  setp(buffer_.data(), buffer_.data() + buffer_.size());
  return Spool(buffer_.data(), count);
}

bool SpooledOutput::Spool(const char* bytes, size_t count) {
  MutexLock lock(mutex_);
  while (count > 0 && failure_.ok()) {
    const ssize_t done = pwrite(file_, bytes, count, static_cast<off_t>(written_));
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) {
      failure_ = ErrnoStatus("write the temporary file of the dump", errno);
      break;
    }
    bytes += done;
    count -= static_cast<size_t>(done);
    written_ += static_cast<size_t>(done);
  }
  changed_.NotifyAll();
  return failure_.ok();
}

void SpooledOutput::Copy() {
  std::vector<char> bytes(kBufferBytes);
  MutexLock lock(mutex_);
  for (;;) {
    while (copied_ == written_ && !ended_ && failure_.ok()) changed_.Wait(lock);
    if (copied_ == written_ || !failure_.ok()) return;
    const ssize_t count = pread(file_, bytes.data(), std::min(bytes.size(), written_ - copied_),
                                static_cast<off_t>(copied_));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      failure_ = ErrnoStatus("read the temporary file of the dump", errno);
      return;
    }
    copied_ += static_cast<size_t>(count);
    if (copied_ == written_) copied_ = written_ = 0;
    lock.Unlock();
    const bool taken = static_cast<bool>(out_.write(bytes.data(), count).flush());
    lock.Lock();
    if (!taken) failure_ = Unavailable("the dump cannot be written");
  }
}

}  // namespace cairn::tools
