// LogSink: writes the log to another sink, keeps its last lines, and leaves out what comes too fast.
//
// A burst of lines is written whole. Past it, lines are left out until their rate is below the bound
// again; then one line tells how many. So a client that makes a node complain fills no disk. Warnings
// have a reserve beside the burst, and errors a second one, which no flood of lesser lines uses up.
#pragma once

#include <spdlog/details/log_msg.h>
#include <spdlog/sinks/base_sink.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace cairn {

struct LogBounds {
  double lines_per_second = 50;
  double burst_lines = 500;
  double reserve_lines = 50;  // for warnings, and as many more for errors
  size_t recent_bytes = 256 << 10;
};

// Thread-safe, by the lock of spdlog's sinks.
class LogSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  LogSink(std::shared_ptr<spdlog::sinks::sink> out, LogBounds bounds)
      : out_(std::move(out)), bounds_(bounds), tokens_(Capacity()) {}

  std::vector<std::string> Recent();
  // Without the lock: a sink that hangs must not hang whoever counts.
  uint64_t left_out() const { return left_out_; }

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override;
  void flush_() override { out_->flush(); }
  void set_pattern_(const std::string& pattern) override;
  void set_formatter_(std::unique_ptr<spdlog::formatter> formatter) override;

 private:
  double Capacity() const { return bounds_.burst_lines + 2 * bounds_.reserve_lines; }
  // The tokens that a line of this level leaves to those above it.
  double Reserve(spdlog::level::level_enum level) const;
  bool Takes(const spdlog::details::log_msg& message);
  void Write(const spdlog::details::log_msg& message);

  const std::shared_ptr<spdlog::sinks::sink> out_;
  const LogBounds bounds_;
  double tokens_;  // lines that may be written at once
  spdlog::log_clock::time_point refilled_{};
  uint64_t left_out_now_ = 0;  // since the last line that was written
  std::atomic<uint64_t> left_out_{0};
  std::deque<std::string> recent_;
  size_t recent_bytes_ = 0;
};

}  // namespace cairn
