// What a statement has written in one series.
#pragma once

#include <cstdint>
#include <functional>

#include "timeseries/sqlite/storage.h"

namespace cairn::timeseries {

struct WrittenPoints {
  Storage* storage = nullptr;  // of the time series
  int64_t series = 0;          // its number there
  int64_t first_time = 0;
  int64_t last_time = 0;
};

// Called in the middle of the statement. May read the storage, and writes nothing.
using TellPoints = std::function<void(const WrittenPoints&)>;

}  // namespace cairn::timeseries
