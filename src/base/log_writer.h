// LogWriter: a thread that writes the lines of the log, so that nobody who logs waits for what is behind
// standard error.
//
// The bad schedule without it: journald hangs on a full disk, the pipe is full, and the thread that
// decides for the node blocks in the line "became leader". Then a node whose only fault is its log
// hears nobody, and is restarted by its watchdog.
#pragma once

#include <spdlog/details/log_msg_buffer.h>
#include <spdlog/sinks/sink.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <thread>

#include "base/clock.h"
#include "base/mutex.h"

namespace cairn {

// Thread-safe. Lines for which there is no room are left out, and a later line tells how many.
class LogWriter final : public spdlog::sinks::sink {
 public:
  // `bytes_max`: of the lines that wait.
  LogWriter(std::shared_ptr<spdlog::sinks::sink> out, size_t bytes_max);
  // Writes what waits, as Flush does. If that takes too long the thread is left to itself, with all
  // that it uses.
  ~LogWriter() override;

  void log(const spdlog::details::log_msg& message) override;
  // Waits until all earlier lines are written, but at most kFlushPatience. False: they are not.
  bool Flush();
  void flush() override { Flush(); }
  void set_pattern(const std::string& pattern) override;
  void set_formatter(std::unique_ptr<spdlog::formatter> formatter) override;

  uint64_t left_out() const { return state_->left_out; }

  static constexpr SteadyTime kFlushPatience = std::chrono::seconds(1);

 private:
  // Shared with the thread, which may outlive the writer.
  struct State {
    State(std::shared_ptr<spdlog::sinks::sink> to, size_t most)
        : out(std::move(to)), bytes_max(most) {}
    void Run();

    const std::shared_ptr<spdlog::sinks::sink> out;
    const size_t bytes_max;
    std::atomic<uint64_t> left_out{0};
    Mutex mutex;
    CondVar changed;
    std::deque<spdlog::details::log_msg_buffer> waiting CAIRN_GUARDED_BY(mutex);
    size_t bytes CAIRN_GUARDED_BY(mutex) = 0;           // of those
    uint64_t left_out_now CAIRN_GUARDED_BY(mutex) = 0;  // since a line told of it
    bool writing CAIRN_GUARDED_BY(mutex) = false;
    bool stopped CAIRN_GUARDED_BY(mutex) = false;
    bool ended CAIRN_GUARDED_BY(mutex) = false;
  };

  const std::shared_ptr<State> state_;
  std::thread thread_;
};

}  // namespace cairn
