// Times for people and programs.
#pragma once

#include <cstdint>
#include <ctime>
#include <string>

namespace cairn::tools {

// Milliseconds of the Unix epoch as "2026-11-30T21:05:00Z".
inline std::string UtcText(int64_t ms) {
  const auto seconds = static_cast<std::time_t>(ms / 1000);
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  char text[64];
  return std::string(text, std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc));
}

}  // namespace cairn::tools
