// ChildProcess: a child process that does not outlive this process.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace cairn::tools {

// Not thread-safe. The thread that starts a child must live as long as the child should: the kernel
// sends the child SIGTERM when that thread ends, however it ends.
class ChildProcess {
 public:
  // Runs the file `program` with these arguments, the first of which is the name that `ps` shows.
  // Standard output and error are appended to the file at `log_path`. The process has a group of
  // its own, so that Ctrl-C on the terminal reaches only the parent.
  static Result<ChildProcess> Start(const std::string& program,
                                    const std::vector<std::string>& arguments,
                                    const std::string& log_path);

  pid_t pid() const { return pid_; }
  bool running() const { return !exit_text_; }
  // Looks, without waiting, whether the process has ended. If it has, returns "exited with status
  // 1" or "was killed by signal 9".
  const std::optional<std::string>& Poll();
  void Signal(int signal_number) const;

 private:
  explicit ChildProcess(pid_t pid) : pid_(pid) {}

  pid_t pid_;
  std::optional<std::string> exit_text_;
};

}  // namespace cairn::tools
