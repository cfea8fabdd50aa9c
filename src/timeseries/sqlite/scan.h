// Scan: goes through the points of a time series, block by block.
//
// It holds one decoded block at a time. The points of a tail, few and in rows, are gathered into a
// block, too. So a point costs the same wherever it lies.
#pragma once

#include <sqlite3.h>

#include <bit>
#include <cstdint>
#include <string>
#include <vector>

#include "timeseries/sqlite/plan.h"
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

class Scan {
 public:
  // A scan of a rollup goes through the stored rows, to which it adds the points of tails.
  Scan(Storage* storage, const ChargeWork* charge, const RollupSource* rollup = nullptr)
      : storage_(*storage),
        charge_(*charge),
        rollup_(rollup),
        owner_(rollup == nullptr ? *storage : *rollup->points) {}

  // Goes to the first point. `arguments`: as the plan orders them.
  int Begin(const Plan& plan, sqlite3_value** arguments);
  int Next();
  bool at_end() const { return at_end_; }

  int64_t series() const { return series_; }
  int64_t time() const { return block_.times[at_]; }
  void Result(sqlite3_context* context, const DeclaredColumn& column) const;
  // A number that the point keeps while the query runs, and no other point has. Queries that join
  // or combine conditions remember rows by it.
  int Number(sqlite3_int64* number);
  // True if the point is the last of its series.
  int IsLast(bool* is_last);

 private:
  enum class Stage { kSeries, kBlocks, kTail, kSeriesDone };

  bool TakeTimes(sqlite3_value** arguments, int place);
  int BeginSeries(sqlite3_value** arguments);
  int NextSeries();
  // Goes to the next block that has a point. Stage kSeriesDone: there is none.
  int NextPart();
  int NextBlock(bool* found);
  int BeginBlocks();
  int ReadTail(bool* found);
  int TakeLast();
  int NextNonEmpty();
  bool PlacePoints(int64_t until);
  // Aggregates the tail of the series. The rows from `open_from_` on are those in `open_`.
  int ReadOpen();
  int ReadLast();
  uint64_t Wanted() const { return static_cast<uint64_t>(std::popcount(plan_.wanted)); }
  bool Charge(uint64_t steps) { return !charge_ || charge_(steps); }

  Storage& storage_;
  const ChargeWork& charge_;
  const RollupSource* const rollup_;  // null: the scan is of points
  Storage& owner_;                    // has the series and the settings
  Plan plan_;
  int64_t from_ = INT64_MIN;  // times
  int64_t until_ = INT64_MAX;
  int64_t expired_before_ = INT64_MIN;  // points before that are not told
  int64_t open_from_ = INT64_MAX;
  Block open_;
  bool only_last_ = false;
  bool at_end_ = true;
  PooledStatement all_series_;
  PooledStatement blocks_;
  int64_t series_ = 0;
  Stage stage_ = Stage::kSeries;
  Block block_;
  int64_t block_id_ = 0;  // of the row that `block_` is; 0: the points are of a tail
  size_t at_ = 0;
  size_t left_ = 0;  // points behind this one in the block
  // The last time of a series.
  int64_t known_series_ = 0;
  int64_t known_last_ = 0;
};

}  // namespace cairn::timeseries
