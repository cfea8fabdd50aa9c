// Time in SQLite's format.
#pragma once

#include <cstdint>

namespace cairn::state_machine {

// Milliseconds since the noon from which SQLite counts its Julian days. `wall_ms` is Unix time,
// UTC.
constexpr int64_t JulianMs(int64_t wall_ms) { return wall_ms + 210866760000000; }
constexpr double JulianDay(int64_t wall_ms) {
  return static_cast<double>(JulianMs(wall_ms)) / 86400000.0;
}

}  // namespace cairn::state_machine
