// Scan: goes through the points of a time series, block by block.
//
// It holds one decoded block at a time. The points of a tail, few and in rows, are gathered into a
// block, too. So a point costs the same wherever it lies.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <vector>

#include "timeseries/sqlite/plan.h"
#include "timeseries/sqlite/points.h"
#include "timeseries/sqlite/storage.h"
#include "timeseries/sqlite/work.h"

namespace cairn::timeseries {

class Scan {
 public:
  Scan(Storage* storage, const ChargeWork* charge) : storage_(*storage), charge_(*charge) {}

  // Goes to the first point. `arguments`: as the plan orders them.
  int Begin(const Plan& plan, sqlite3_value** arguments);
  int Next();
  bool at_end() const { return at_end_; }

  int64_t series() const { return series_; }
  int64_t time() const { return block_.times[at_]; }
  void Result(sqlite3_context* context, const DeclaredColumn& column) const;
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
  bool PlacePoints();
  bool Charge(uint64_t steps) { return !charge_ || charge_(steps); }

  Storage& storage_;
  const ChargeWork& charge_;
  Plan plan_;
  int64_t from_ = INT64_MIN;  // times
  int64_t until_ = INT64_MAX;
  bool only_last_ = false;
  bool at_end_ = true;
  PooledStatement all_series_;
  PooledStatement blocks_;
  int64_t series_ = 0;
  Stage stage_ = Stage::kSeries;
  Block block_;
  size_t at_ = 0;
  size_t left_ = 0;  // points behind this one in the block
  // The last time of a series.
  int64_t known_series_ = 0;
  int64_t known_last_ = 0;
};

}  // namespace cairn::timeseries
