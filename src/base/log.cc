#include "base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>

#include <memory>

#include "base/log_control.h"
#include "base/log_sink.h"
#include "base/log_writer.h"

namespace cairn {
namespace {

// Of lines that wait for standard error.
constexpr size_t kWaitingBytesMax = 1 << 20;

std::shared_ptr<LogWriter>& Writer() {
  static std::shared_ptr<LogWriter> writer;
  return writer;
}

// The sink of the log; null before InitLog.
std::shared_ptr<LogSink> Sink() {
  const std::shared_ptr<spdlog::logger> logger = spdlog::default_logger();
  if (logger == nullptr || logger->sinks().size() != 1) return nullptr;
  return std::dynamic_pointer_cast<LogSink>(logger->sinks().front());
}

}  // namespace

bool IsLogLevel(const std::string& level) {
  return spdlog::level::from_str(level) != spdlog::level::off || level == "off";
}

bool InitLog(const std::string& name, const std::string& level) {
  if (!IsLogLevel(level)) return false;
  LogBounds bounds;
  bounds.recent_bytes = kRecentLogBytes;
  Writer() = std::make_shared<LogWriter>(std::make_shared<spdlog::sinks::stderr_color_sink_mt>(),
                                         kWaitingBytesMax);
  auto logger = std::make_shared<spdlog::logger>(name, std::make_shared<LogSink>(Writer(), bounds));
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %^%-5l%$ [%n] %v", spdlog::pattern_time_type::utc);
  logger->set_level(spdlog::level::from_str(level));
  spdlog::set_default_logger(std::move(logger));
  return true;
}

bool FlushLog() { return Writer() == nullptr || Writer()->Flush(); }

bool SetLogLevel(const std::string& level) {
  if (!IsLogLevel(level)) return false;
  spdlog::set_level(spdlog::level::from_str(level));
  return true;
}

std::string LogLevel() {
  const auto name = spdlog::level::to_string_view(spdlog::get_level());
  // spdlog says "warning" and understands both.
  const std::string text(name.data(), name.size());
  return text == "warning" ? "warn" : text;
}

std::vector<std::string> RecentLog() {
  const std::shared_ptr<LogSink> sink = Sink();
  return sink == nullptr ? std::vector<std::string>() : sink->Recent();
}

uint64_t LogLinesLeftOut() {
  const std::shared_ptr<LogSink> sink = Sink();
  return sink == nullptr ? 0 : sink->left_out() + Writer()->left_out();
}

}  // namespace cairn
