// Applier, continued: what time series do by themselves.
#include <string>
#include <utility>
#include <vector>

#include "base/sql_name.h"
#include "state_machine/feature_level.h"
#include "state_machine/sqlite/applier.h"
#include "state_machine/sqlite/index_commands.h"

namespace cairn::state_machine {

const std::vector<std::string>& Applier::TimeSeriesTables() {
  const SchemaCatalog& catalog = engine_->catalog();
  if (time_series_as_of_ == catalog.loads()) return time_series_;
  time_series_as_of_ = catalog.loads();
  time_series_.clear();
  if (!catalog.has_virtual_tables()) return time_series_;
  for (const std::string& table : catalog.VirtualTables()) {
    if (IsTimeSeries(catalog.SqlOfVirtual(table))) time_series_.push_back(table);
  }
  return time_series_;
}

TimeSeriesUpkeep Applier::time_series() {
  if (applied_.level < kLevelDataPlatform || TimeSeriesTables().empty()) {
    return TimeSeriesUpkeep::kNone;
  }
  return time_series_busy_ ? TimeSeriesUpkeep::kBusy : TimeSeriesUpkeep::kRests;
}

// Looks at the tables in their order, up to the first one that has more work than a slice. The
// version of a table rises when its bound moves, because queries then tell fewer points.
Status Applier::ApplyMaintainTimeSeries(const Operation& /*operation*/, const Place& place,
                                        CommandResult* result) {
  if (level_ < kLevelDataPlatform) {
    result->status =
        FailedPrecondition("time series need feature level " + std::to_string(kLevelDataPlatform));
    return OkStatus();
  }
  const BatchHeader& header = *place.header;
  RETURN_IF_ERROR(engine_->BeginCommand({header.wall_ms, SeedOf(place), header.command_steps_max,
                                         false, ForeignKeys::kEnforced, place.lease_ms},
                                        nullptr));
  time_series_busy_ = false;
  version_changes_.clear();
  Status verdict;
  for (const std::string& table : TimeSeriesTables()) {
    RETURN_IF_ERROR(Expire(table, &verdict));
    if (!verdict.ok() || time_series_busy_) break;
  }
  return KeepCommand(place, std::move(verdict), result);
}

Status Applier::Expire(const std::string& table, Status* verdict) {
  const std::string name = QuotedName(table);
  const Statement statement{"INSERT INTO " + name + "(" + name + ") VALUES('expire')", {}, {}};
  Program* program = nullptr;
  RETURN_IF_ERROR(engine_->Compile(statement, &program, verdict));
  if (!verdict->ok()) return OkStatus();
  const std::string nobody;
  // A prepared transaction holds the table: later.
  if (txs_.any_prepared() && !txs_.CheckConflicts(program->facts, nobody).ok()) return OkStatus();
  StatementResult ignored;
  RETURN_IF_ERROR(engine_->Run(program, statement, &ignored, verdict));
  if (!verdict->ok()) return OkStatus();
  time_series_busy_ = engine_->expired().more;
  if (engine_->expired().moved) NoteVersionsByName({table});
  return OkStatus();
}

}  // namespace cairn::state_machine
