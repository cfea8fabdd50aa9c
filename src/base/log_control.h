// What can be changed and asked of the log while the process runs. Before InitLog nothing is kept.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace cairn {

// Whether it is trace, debug, info, warn, error or off.
bool IsLogLevel(const std::string& level);
// False, and nothing is changed, if it is no level.
bool SetLogLevel(const std::string& level);
std::string LogLevel();

// The last messages of the log, the oldest first, each as it was written. At most kRecentLogBytes.
inline constexpr size_t kRecentLogBytes = 256 << 10;
std::vector<std::string> RecentLog();

// The lines that were left out because too many came (log_sink.h).
uint64_t LogLinesLeftOut();

}  // namespace cairn
