// Helpers for text that people read.
#pragma once

#include <cstdint>
#include <string>

namespace cairn {

// "1 row", "2 rows".
inline std::string Counted(uint64_t count, const std::string& noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

}  // namespace cairn
