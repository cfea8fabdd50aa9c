#include "tools/child_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

namespace cairn::tools {
namespace {

// Runs between fork and exec, where only async-signal-safe calls are allowed.
[[noreturn]] void BecomeChild(const char* program, char* const* arguments, int log_fd,
                              pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  // The parent may have died before the call above took effect.
  if (getppid() != parent) _exit(1);
  setpgid(0, 0);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  dup2(log_fd, STDOUT_FILENO);
  dup2(log_fd, STDERR_FILENO);
  execv(program, arguments);
  _exit(127);
}

}  // namespace

Result<ChildProcess> ChildProcess::Start(const std::string& program,
                                         const std::vector<std::string>& arguments,
                                         const std::string& log_path) {
  const int log_fd = open(log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (log_fd < 0) return ErrnoStatus("open " + log_path, errno);
  std::vector<char*> argv;
  argv.reserve(arguments.size() + 1);
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) BecomeChild(program.c_str(), argv.data(), log_fd, parent);
  const int error = errno;
  close(log_fd);
  if (pid < 0) return ErrnoStatus("fork", error);
  return ChildProcess(pid);
}

const std::optional<std::string>& ChildProcess::Poll() {
  if (!running()) return exit_text_;
  int status = 0;
  if (waitpid(pid_, &status, WNOHANG) != pid_) return exit_text_;
  if (WIFEXITED(status)) {
    exit_text_ = "exited with status " + std::to_string(WEXITSTATUS(status));
  } else {
    exit_text_ = "was killed by signal " + std::to_string(WTERMSIG(status));
  }
  return exit_text_;
}

void ChildProcess::Signal(int signal_number) const {
  if (running()) kill(pid_, signal_number);
}

}  // namespace cairn::tools
