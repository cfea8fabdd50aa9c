#include "tools/stop_signals.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>

#include "base/check.h"

namespace cairn::tools {

StopSignals::StopSignals(bool children) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  if (children) sigaddset(&set, SIGCHLD);
  CHECK(pthread_sigmask(SIG_BLOCK, &set, nullptr) == 0);
  signals_ = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  cancelled_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  CHECK(signals_ >= 0 && cancelled_ >= 0);
}

StopSignals::~StopSignals() {
  close(signals_);
  close(cancelled_);
}

std::optional<int> StopSignals::Wait(std::optional<std::chrono::milliseconds> timeout) {
  const int timeout_ms = timeout ? static_cast<int>(timeout->count()) : -1;
  while (true) {
    pollfd watched[] = {{cancelled_, POLLIN, 0}, {signals_, POLLIN, 0}};
    const int ready = poll(watched, 2, timeout_ms);
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0 || (watched[0].revents & POLLIN) != 0) return std::nullopt;
    signalfd_siginfo info;
    // Another waiter may have been quicker.
    if (read(signals_, &info, sizeof(info)) != sizeof(info)) continue;
    return static_cast<int>(info.ssi_signo);
  }
}

void StopSignals::Cancel() {
  const uint64_t one = 1;
  CHECK(write(cancelled_, &one, sizeof(one)) == sizeof(one));
}

}  // namespace cairn::tools
