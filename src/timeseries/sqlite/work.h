// Charges of work that SQLite's own steps do not show. A step takes some 20 ns.
#pragma once

#include <cstdint>
#include <functional>

namespace cairn::timeseries {

// False: the statement may not go on.
using ChargeWork = std::function<bool(uint64_t)>;

inline constexpr uint64_t kStepsToSeek = 50;  // a row of the storage
// For each column of each point.
inline constexpr uint64_t kStepsToDecode = 1;
inline constexpr uint64_t kStepsToEncode = 6;
// For each row that is written one by one, and each point of a tail.
inline constexpr uint64_t kStepsOfTailPoint = 10;

// To decode so many points of a block, with their times and so many columns.
constexpr uint64_t StepsToRead(uint64_t points, uint64_t columns) {
  return points * (1 + columns) / 2;
}
// The same of a tail.
constexpr uint64_t StepsToReadTail(uint64_t points, uint64_t columns) {
  return points * (kStepsOfTailPoint + 4 * columns);
}
// To add so many points to the buckets of a rollup.
constexpr uint64_t StepsToAggregate(uint64_t points, uint64_t columns) {
  return points * (1 + columns) / 2;
}

}  // namespace cairn::timeseries
