// LevelFunctions: what a feature level adds to the SQL of the writer's connection.
//
// A node of this build in a cluster at a lower level must give the results of the builds of that
// level, to the letter. So the functions and modules of a level are added to the connection when
// the database reaches the level, and are not there before: SQLite itself then says "no such
// function". A batch that raised the level and is undone takes them away again.
//
// What a function needs beside its level: its name in write_functions.cc, or its module in
// authorizer.cc.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <optional>

#include "base/status.h"
#include "state_machine/sqlite/lease_function.h"
#include "state_machine/sqlite/work_budget.h"
#include "timeseries/sqlite/expiry.h"
#include "timeseries/sqlite/written_points.h"

namespace cairn::timeseries {
class TimeSeriesModule;
}  // namespace cairn::timeseries

namespace cairn::state_machine {

// Owned by the engine, and used on its thread only. `budget` must outlive the connection.
class LevelFunctions {
 public:
  // `on_points` hears what statements write in time series.
  LevelFunctions(WorkBudget* budget, timeseries::TellPoints on_points);
  ~LevelFunctions();
  LevelFunctions(const LevelFunctions&) = delete;
  LevelFunctions& operator=(const LevelFunctions&) = delete;

  uint64_t level() const { return level_; }
  // No statement may be running on `db`, which is the same at each call.
  Status SetLevel(sqlite3* db, uint64_t level);
  // Writes what the statement that has ended has changed in time series. SQLITE_OK, or the error of
  // the statement.
  int FlushTimeSeries();
  // What came of the last command 'expire' of a time series.
  const timeseries::ExpiryOutcome& expired() const;
  // What cairn_lease_ms() gives from now on.
  void SetLease(std::optional<uint64_t> lease_ms) { lease_.ms = lease_ms; }

 private:
  WorkBudget* const budget_;
  const std::unique_ptr<timeseries::TimeSeriesModule> time_series_;
  uint64_t level_ = 0;
  LeaseClock lease_;
};

}  // namespace cairn::state_machine
