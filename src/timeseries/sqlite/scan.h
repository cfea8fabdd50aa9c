// Scan: goes through the points of a time series as a plan says: series by series, in each in the
// order of time.
//
// A TEXT tag may be compared with a number. SQLite then compares numbers, or the text of the number,
// and does not tell which. So several series may be told where the plan knows of one: '5' and '05'
// both equal 5. Where the plan has promised an order, such series are merged by time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/sqlite_api.h"
#include "timeseries/sqlite/plan.h"
#include "timeseries/sqlite/series_scan.h"
#include "timeseries/sqlite/storage.h"
#include "timeseries/sqlite/work.h"

namespace cairn::timeseries {

// The series that are merged at once hold a decoded block each.
inline constexpr size_t kMergedSeriesMax = 32;
inline constexpr char kTooManyMerged[] =
    "the number equals a tag of more than 32 series: compare the tag with a text";

struct FreeValue {
  void operator()(sqlite3_value* value) const { sqlite3_value_free(value); }
};
using OwnedValue = std::unique_ptr<sqlite3_value, FreeValue>;

class Scan {
 public:
  Scan(Storage* storage, const ChargeWork* charge, const RollupSource* rollup = nullptr)
      : storage_(*storage),
        charge_(*charge),
        rollup_(rollup),
        owner_(rollup == nullptr ? *storage : *rollup->points),
        one_(storage, charge, rollup) {}

  // Goes to the first point. `arguments`: as the plan orders them. SQLITE_RANGE: more than
  // kMergedSeriesMax series are to be merged.
  int Begin(const Plan& plan, sqlite3_value** arguments);
  int Next();
  bool at_end() const { return now_ == nullptr; }

  const SeriesScan& now() const { return *now_; }
  SeriesScan& now() { return *now_; }
  void Result(sqlite3_context* context, const DeclaredColumn& column) const;

 private:
  // A series that is merged with others, and its tags.
  struct Merged {
    Merged(Storage* storage, const ChargeWork* charge, const RollupSource* rollup)
        : points(storage, charge, rollup) {}
    SeriesScan points;
    std::vector<OwnedValue> tags;
  };

  bool TakeTags(sqlite3_value** arguments, int* place);
  bool TakeTimes(sqlite3_value** arguments, int place);
  int BeginSeries();
  // SQLITE_ROW: `all_series_` is at the next series that the plan may want.
  int StepSeries();
  int NextSeries();
  int NextMerged();
  int AddMerged();
  void ChooseMerged();
  // Of the series at hand: those with the same key are merged.
  std::string MergeKey() const;
  bool Charge(uint64_t steps) { return !charge_ || charge_(steps); }

  Storage& storage_;
  const ChargeWork& charge_;
  const RollupSource* const rollup_;  // null: the scan is of points
  Storage& owner_;                    // has the series and the settings
  Plan plan_;
  PointRange range_;
  PooledStatement
      all_series_;  // columns: whether the plan may want the series, its number, its tags
  SeriesScan one_;
  SeriesScan* now_ = nullptr;                         // null: at the end
  std::vector<std::vector<OwnedValue>> wanted_tags_;  // by tag: it equals one; empty: any
  uint32_t numbers_ = 0;                              // TEXT tags that are compared with a number
  bool merges_ = false;
  bool has_row_ = false;  // `all_series_` is at a series that is not merged yet
  std::vector<std::unique_ptr<Merged>> merged_;
  const Merged* merged_now_ = nullptr;
};

}  // namespace cairn::timeseries
