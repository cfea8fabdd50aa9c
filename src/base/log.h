// The log for people: one line an event, message first, then key=value fields. Never an API.
//
//   LOG_INFO("became leader term={} last={}", term, last);
//
// INFO is for role, membership, snapshot and error events only: a healthy idle node is silent.
#pragma once

#include <spdlog/spdlog.h>

#include <string>

namespace cairn {

// Sends the log to standard error with time, level and `name` (such as "node 2") on each line.
// `level`: trace, debug, info, warn, error or off; false if it is none of these.
bool InitLog(const std::string& name, const std::string& level);

}  // namespace cairn

#define LOG_DEBUG(...) ::spdlog::debug(__VA_ARGS__)
#define LOG_INFO(...) ::spdlog::info(__VA_ARGS__)
#define LOG_WARN(...) ::spdlog::warn(__VA_ARGS__)
#define LOG_ERROR(...) ::spdlog::error(__VA_ARGS__)
