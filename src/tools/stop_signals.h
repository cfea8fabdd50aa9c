// StopSignals: SIGINT and SIGTERM as something to wait for, instead of handlers.
#pragma once

#include <chrono>
#include <optional>

namespace cairn::tools {

// Make one in main's thread before any other thread exists: it blocks the signals, and threads that
// are started later inherit the block. Thread-safe from then on.
class StopSignals {
 public:
  // With `children`, the end of a child process (SIGCHLD) ends a wait too.
  explicit StopSignals(bool children = false);
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  // The next signal. Nothing after `timeout` (none: no bound), or once Cancel was called.
  std::optional<int> Wait(std::optional<std::chrono::milliseconds> timeout = std::nullopt);
  // Readable when a signal waits, for a poll() of several things. Take the signal with Wait.
  int fd() const { return signals_; }
  // Ends the present wait and all later ones.
  void Cancel();

 private:
  int signals_ = -1;
  int cancelled_ = -1;
};

}  // namespace cairn::tools
