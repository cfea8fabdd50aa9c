#include "state_machine/sqlite/level_functions.h"

#include <utility>

#include "state_machine/feature_level.h"
#include "state_machine/sqlite/vector_sql.h"
#include "timeseries/sqlite/module.h"

namespace cairn::state_machine {
namespace {

struct Addition {
  uint64_t level = 0;
  Status (*add)(sqlite3* db, WorkBudget* budget) = nullptr;
  Status (*remove)(sqlite3* db) = nullptr;
};

constexpr Addition kAdditions[] = {
    {kLevelDataPlatform, &AddVectorsToWriter, &RemoveVectors},
};

timeseries::ModuleOptions OfWriter(WorkBudget* budget, timeseries::TellPoints on_points) {
  timeseries::ModuleOptions options;
  options.charge = [budget](uint64_t steps) { return !budget->running() || budget->Charge(steps); };
  options.only_writer = true;
  options.on_points = std::move(on_points);
  return options;
}

}  // namespace

LevelFunctions::LevelFunctions(WorkBudget* budget, timeseries::TellPoints on_points)
    : budget_(budget),
      time_series_(
          std::make_unique<timeseries::TimeSeriesModule>(OfWriter(budget, std::move(on_points)))) {}

LevelFunctions::~LevelFunctions() = default;

int LevelFunctions::FlushTimeSeries() { return time_series_->Flush(); }

const timeseries::ExpiryOutcome& LevelFunctions::expired() const { return time_series_->expired(); }

Status LevelFunctions::SetLevel(sqlite3* db, uint64_t level) {
  for (const Addition& each : kAdditions) {
    const bool there = level_ >= each.level;
    const bool wanted = level >= each.level;
    if (there == wanted) continue;
    RETURN_IF_ERROR(wanted ? each.add(db, budget_) : each.remove(db));
  }
  const bool there = level_ >= kLevelDataPlatform;
  const bool wanted = level >= kLevelDataPlatform;
  if (there != wanted) {
    RETURN_IF_ERROR(wanted ? time_series_->Install(db) : time_series_->Remove(db));
    RETURN_IF_ERROR(wanted ? AddLeaseFunction(db, &lease_) : RemoveLeaseFunction(db));
  }
  level_ = level;
  return OkStatus();
}

}  // namespace cairn::state_machine
