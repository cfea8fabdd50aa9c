#include "base/log_sink.h"

#include <spdlog/pattern_formatter.h>

#include <algorithm>
#include <chrono>
#include <utility>

namespace cairn {

std::vector<std::string> LogSink::Recent() {
  std::lock_guard<std::mutex> lock(mutex_);
  return {recent_.begin(), recent_.end()};
}

void LogSink::sink_it_(const spdlog::details::log_msg& message) {
  if (!Takes(message)) {
    ++left_out_now_;
    ++left_out_;
    return;
  }
  if (const uint64_t left_out = std::exchange(left_out_now_, 0); left_out > 0) {
    const std::string text = "too many lines came: " + std::to_string(left_out) + " were left out";
    Write({message.time, spdlog::source_loc{}, message.logger_name, spdlog::level::warn, text});
  }
  Write(message);
}

double LogSink::Reserve(spdlog::level::level_enum level) const {
  if (level >= spdlog::level::err) return 0;
  return level == spdlog::level::warn ? bounds_.reserve_lines : 2 * bounds_.reserve_lines;
}

bool LogSink::Takes(const spdlog::details::log_msg& message) {
  // The clock of the day may be set back: nothing is refilled then.
  const std::chrono::duration<double> passed = message.time - refilled_;
  if (passed.count() > 0) {
    tokens_ = std::min(Capacity(), tokens_ + passed.count() * bounds_.lines_per_second);
  }
  refilled_ = message.time;
  // After a pause in the log whoever reads it must see a stretch of it, and not a line now and then.
  const bool pauses = left_out_now_ > 0 && message.level < spdlog::level::err;
  const double wanted = pauses ? bounds_.burst_lines / 10 : 1;
  if (tokens_ - Reserve(message.level) < std::max(1.0, wanted)) return false;
  tokens_ -= 1;
  return true;
}

void LogSink::Write(const spdlog::details::log_msg& message) {
  out_->log(message);
  spdlog::memory_buf_t line;
  formatter_->format(message, line);
  recent_.emplace_back(line.data(), line.size());
  recent_bytes_ += line.size();
  while (recent_bytes_ > bounds_.recent_bytes && !recent_.empty()) {
    recent_bytes_ -= recent_.front().size();
    recent_.pop_front();
  }
}

void LogSink::set_pattern_(const std::string& pattern) {
  set_formatter_(std::make_unique<spdlog::pattern_formatter>(pattern));
}

void LogSink::set_formatter_(std::unique_ptr<spdlog::formatter> formatter) {
  out_->set_formatter(formatter->clone());
  formatter_ = std::move(formatter);
}

}  // namespace cairn
