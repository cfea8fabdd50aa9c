// SpooledOutput: a stream whose writer never waits for its reader.
#pragma once

#include <memory>
#include <ostream>
#include <streambuf>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"

namespace cairn::tools {

// What the reader has not taken yet waits in a temporary file, which has no name. So a query whose
// rows go into a pipe is read as fast as the node sends it. A node keeps a query for 60 s at most,
// and ends a connection on which nothing is read, while a reader such as `less` waits for a person.
//
// One thread writes. Another one, of this object, copies to `out`.
class SpooledOutput final : public std::streambuf {
 public:
  // `out` must outlive the object. The file is in $SQLITE_TMPDIR, $TMPDIR or /tmp, as those of
  // SQLite are.
  static Result<std::unique_ptr<SpooledOutput>> New(std::ostream* out);
  // Waits as Finish does.
  ~SpooledOutput() override;

  // Waits until all is in `out`. UNAVAILABLE: it is not, since `out` or the file has failed. Call once,
  // after the last write.
  Status Finish();

 protected:
  int_type overflow(int_type c) override;
  std::streamsize xsputn(const char* bytes, std::streamsize count) override;

 private:
  SpooledOutput(int file, std::ostream* out);
  void Copy();
  bool Spool(const char* bytes, size_t count);
  bool Flush();

  const int file_;
  std::ostream& out_;
  std::vector<char> buffer_;  // that the writer fills
  Mutex mutex_;
  CondVar changed_;
  // Offsets in the file. When all is copied, both begin anew at 0, so the file is no longer than
  // what waits.
  size_t written_ CAIRN_GUARDED_BY(mutex_) = 0;
  size_t copied_ CAIRN_GUARDED_BY(mutex_) = 0;
  bool ended_ CAIRN_GUARDED_BY(mutex_) = false;
  Status failure_ CAIRN_GUARDED_BY(mutex_);
  std::thread copier_;  // last: it uses the members above
};

}  // namespace cairn::tools
