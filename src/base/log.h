// The log for people: one line per event, message first, then key=value fields. The log is never an
// API.
//
//   LOG_INFO("became leader term={} last={}", term, last);
//
// INFO is only for role, membership, snapshot and error events: a healthy idle node logs nothing.
#pragma once

#include <spdlog/spdlog.h>

#include <string>

namespace cairn {

// Sends the log to standard error with time, level and `name` (such as "node 2") on each line. A thread
// writes the lines: nobody waits for it (log_writer.h).
// `level` is trace, debug, info, warn, error or off; InitLog returns false for anything else.
bool InitLog(const std::string& name, const std::string& level);

// Waits until the lines so far are written, for a second at most: call it before the process ends
// without its destructors, and before something else is written to standard error. False: standard
// error takes nothing.
bool FlushLog();

}  // namespace cairn

#define LOG_DEBUG(...) ::spdlog::debug(__VA_ARGS__)
#define LOG_INFO(...) ::spdlog::info(__VA_ARGS__)
#define LOG_WARN(...) ::spdlog::warn(__VA_ARGS__)
#define LOG_ERROR(...) ::spdlog::error(__VA_ARGS__)
