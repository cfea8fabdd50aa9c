// The telemetry of one device: a value of two decimals each second, which moves by small steps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "load.h"

namespace cairn::bench {

inline constexpr size_t kTelemetryBlockPoints = 1024;

struct TelemetryPoint {
  int64_t time_ms = 0;
  double value = 0;
};
TelemetryPoint TelemetryPointOf(uint64_t number);
// The points from number * kTelemetryBlockPoints on, as a block of a time series.
std::string TelemetryBlock(uint64_t number);

// One process of SQLite, without Cairn, stores the same blocks in an ordinary table: WAL, synced at
// each commit. A transaction has as many blocks as the clients of `options` have under way together.
// per_second counts points. `file` is made anew.
LoadResult StoreInPlainSqlite(const LoadOptions& options, const std::string& file);

}  // namespace cairn::bench
