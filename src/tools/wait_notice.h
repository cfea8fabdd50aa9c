// WaitNotice: tells a person on a terminal how long a statement has been running.
#pragma once

#include <functional>
#include <ostream>
#include <string>
#include <thread>

#include "base/mutex.h"

namespace cairn::tools {

// From its first second on, the notice shows one line, "12 s; ...", and keeps the line current. The
// line is gone when Stop returns, so that results are printed where it stood.
class WaitNotice {
 public:
  // `detail` gives the rest of the line. It runs on a thread of the notice's own. Without a
  // terminal (null) nothing is shown.
  WaitNotice(std::ostream* terminal, std::function<std::string()> detail);
  ~WaitNotice() { Stop(); }
  WaitNotice(const WaitNotice&) = delete;
  WaitNotice& operator=(const WaitNotice&) = delete;

  // Prints a line that stays, in place of the notice. Where there is no terminal, to `out`.
  void Print(const std::string& line, std::ostream* out);
  // May be called twice.
  void Stop();

 private:
  void Run();

  std::ostream* const terminal_;
  const std::function<std::string()> detail_;
  Mutex mutex_;
  CondVar changed_;
  bool stopped_ CAIRN_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace cairn::tools
