// A block: points of one series, encoded. docs/internals/time_series_block.md specifies every byte.
//
// The bytes are a function of the points alone. No library compresses them, and no step depends on
// the platform, so all builds write the same bytes for the same points. A block says what it holds:
// the unit of its times, the number of its points, and the types of its columns.
//
// The decoder accepts nothing that cannot be stored: times are strictly ascending and in range,
// real numbers are finite, texts are short. It refuses everything else, and needs no more memory than
// the largest legal block.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/status.h"

namespace cairn::timeseries {

inline constexpr size_t kPointsMax = 4096;    // in a block
inline constexpr size_t kColumnsMax = 64;     // of values
inline constexpr size_t kTextBytesMax = 255;  // of one text
inline constexpr size_t kBlockBytesMax = 1 << 20;

enum class TimeUnit : uint8_t { kMilliseconds = 0, kMicroseconds = 1 };

enum class ColumnType : uint8_t { kReal = 1, kInteger = 2, kText = 3, kBoolean = 4 };

// The times that a point may have: the years 0000 to 9999, as in SQLite's date functions.
struct TimeRange {
  int64_t first = 0;
  int64_t last = 0;
};
TimeRange RangeOf(TimeUnit unit);
// OK if a point may have this time. Otherwise the message tells the range.
Status CheckTime(TimeUnit unit, int64_t time);

// One column of values. Which vectors are used depends on the type; each has a place for every
// point. The place of a NULL holds 0.
struct BlockColumn {
  ColumnType type = ColumnType::kReal;
  std::vector<uint8_t> present;  // 0: NULL. Empty: no value is NULL
  std::vector<double> reals;
  std::vector<int64_t> integers;   // INTEGER; BOOLEAN as 0 and 1; TEXT as places in `texts`
  std::vector<std::string> texts;  // strictly ascending, as bytes
  bool IsNull(size_t point) const { return !present.empty() && present[point] == 0; }
};

struct Block {
  TimeUnit unit = TimeUnit::kMilliseconds;
  std::vector<int64_t> times;  // strictly ascending
  std::vector<BlockColumn> columns;
};

// Appends the encoded block to `out`. Fails, and appends nothing, if the decoder would refuse the
// block. RESOURCE_EXHAUSTED: the block would have more than kBlockBytesMax; half of its points may
// fit. -0.0 is encoded as 0.0, which is what SQLite reads back from a table.
Status EncodeBlock(const Block& block, std::string* out);

// Decodes times, and the columns whose bit in `wanted` is set. The other columns keep their type and
// have no values, and their bytes are not looked at. Reuses the memory of `block`. Not OK: `block`
// holds anything. Does not compare the checksum.
inline constexpr uint64_t kAllColumns = ~uint64_t{0};
Status DecodeBlock(std::string_view bytes, uint64_t wanted, Block* block);

// For bytes from elsewhere: compares the checksum, and decodes all.
Status DecodeCheckedBlock(std::string_view bytes, Block* block);

}  // namespace cairn::timeseries
