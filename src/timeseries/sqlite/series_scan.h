// SeriesScan: goes through the points of one series, block by block.
//
// It holds one decoded block at a time. The points of a tail, few and in rows, are gathered into a
// block, too. So a point costs the same wherever it lies.
#pragma once

#include <bit>
#include <cstdint>
#include <string>

#include "base/sqlite_api.h"
#include "timeseries/sqlite/points.h"
#include "timeseries/sqlite/storage.h"
#include "timeseries/sqlite/work.h"

namespace cairn::timeseries {

// For a scan of a rollup: its time series.
struct RollupSource {
  Storage* points = nullptr;
  std::string suffix;  // of the rollup
  int64_t width = 0;
};

// Which points of a series are told, and how.
struct PointRange {
  int64_t from = INT64_MIN;  // times
  int64_t until = INT64_MAX;
  int64_t expired_before = INT64_MIN;  // points before that are not told
  bool descending = false;
  bool only_last = false;  // the last point of the series, whatever its time
  uint64_t wanted = 0;     // values
};

class SeriesScan {
 public:
  // A scan of a rollup goes through the stored rows, to which it adds the points of the tail.
  SeriesScan(Storage* storage, const ChargeWork* charge, const RollupSource* rollup)
      : storage_(*storage),
        charge_(*charge),
        rollup_(rollup),
        owner_(rollup == nullptr ? *storage : *rollup->points) {}

  // Goes to the first point.
  int Begin(int64_t series, const PointRange& range);
  // Goes to the next point, if that is in the block at hand.
  bool NextInBlock() {
    if (left_ == 0) return false;
    --left_;
    at_ = range_.descending ? at_ - 1 : at_ + 1;
    return true;
  }
  // The same, in whichever block. Called if NextInBlock has found none.
  int NextBlock();
  // Behind the last point.
  bool at_end() const { return stage_ == Stage::kEnd; }
  void Release();

  int64_t series() const { return series_; }
  int64_t time() const { return block_.times[at_]; }
  // The value of the point.
  void Result(sqlite3_context* context, const DeclaredColumn& column) const;
  // A number that the point keeps while the query runs, and no other point has. Queries that join
  // or combine conditions remember rows by it.
  int Number(sqlite3_int64* number);
  // True if the point is the last of its series.
  int IsLast(bool* is_last);

 private:
  enum class Stage { kBegin, kBlocks, kTail, kEnd };

  // What comes behind blocks, or behind the tail.
  Stage Behind(Stage stage) const;
  int ReadBlocks(bool* found);
  int BeginBlocks();
  int ReadTail(bool* found);
  int TakeLast();
  int ReadLast();
  bool PlacePoints(int64_t until);
  // Aggregates the tail of the series. The rows from `open_from_` on are those in `open_`.
  int ReadOpen();
  uint64_t AllValues() const { return kAllColumns >> (64 - storage_.declaration().values.size()); }
  uint64_t Wanted() const { return static_cast<uint64_t>(std::popcount(range_.wanted)); }
  bool Charge(uint64_t steps) { return !charge_ || charge_(steps); }

  Storage& storage_;
  const ChargeWork& charge_;
  const RollupSource* const rollup_;  // null: the scan is of points
  Storage& owner_;                    // has the series and the settings
  PointRange range_;
  int64_t open_from_ = INT64_MAX;
  Block open_;
  PooledStatement blocks_;
  int64_t series_ = 0;
  Stage stage_ = Stage::kEnd;
  Block block_;
  int64_t block_id_ = 0;  // of the row that `block_` is; 0: the points are of a tail
  size_t at_ = 0;
  size_t left_ = 0;  // points behind this one in the block
  bool knows_last_ = false;
  int64_t last_ = 0;  // the last time of the series
};

}  // namespace cairn::timeseries
