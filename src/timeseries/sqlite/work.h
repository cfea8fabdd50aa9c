// Charges of work that SQLite's own steps do not show. A step takes some 20 ns.
#pragma once

#include <cstdint>
#include <functional>

namespace cairn::timeseries {

// False: the statement may not go on.
using ChargeWork = std::function<bool(uint64_t)>;

inline constexpr uint64_t kStepsToSeek = 50;  // a row of the storage
// For each point.
inline constexpr uint64_t kStepsToDecode = 1;
inline constexpr uint64_t kStepsToEncode = 6;
inline constexpr uint64_t kStepsOfTailPoint = 10;

}  // namespace cairn::timeseries
