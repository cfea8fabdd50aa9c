// Applier, continued: what time series do by themselves.
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
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
  std::erase_if(time_series_troubles_, [&catalog](const auto& trouble) {
    return !IsTimeSeries(catalog.SqlOfVirtual(trouble.first));
  });
  return time_series_;
}

TimeSeriesUpkeep Applier::time_series() {
  if (applied_.level < kLevelDataPlatform || TimeSeriesTables().empty()) {
    return TimeSeriesUpkeep::kNone;
  }
  return time_series_busy_ ? TimeSeriesUpkeep::kBusy : TimeSeriesUpkeep::kRests;
}

// A table that fails is left out, and the command begins again without it: its error must not keep the
// others from their upkeep. That follows from the state and the entry alone.
Status Applier::ApplyMaintainTimeSeries(const Operation& /*operation*/, const Place& place,
                                        CommandResult* result) {
  if (level_ < kLevelDataPlatform) {
    result->status =
        FailedPrecondition("time series need feature level " + std::to_string(kLevelDataPlatform));
    return OkStatus();
  }
  // Also while the batch is applied again, so that a table is tried once on every node.
  LeftOutTables& left_out = left_out_tables_[place.number];
  if (left_out.schema_changed) engine_->NoteSchemaChange();
  for (;;) {
    Status verdict;
    std::string failed;
    RETURN_IF_ERROR(ExpireAll(place, left_out.tables, &failed, &verdict));
    // Each may use up the budget of a command.
    constexpr size_t kLeftOutMax = 4;
    if (verdict.ok() || left_out.tables.size() == kLeftOutMax) {
      RETURN_IF_ERROR(KeepCommand(place, std::move(verdict), result));
      result->steps += left_out.steps;
      if (const auto lost = left_out_.find(place.number); lost != left_out_.end()) {
        lost->second.steps = result->steps;
      }
      return OkStatus();
    }
    const uint64_t steps = engine_->budget().steps();
    const std::string message = verdict.message();
    RETURN_IF_ERROR(engine_->EndCommand(/*keep=*/false, &verdict));
    if (MustRunAgain()) {
      left_out_tables_.erase(place.number);
      return OkStatus();
    }
    NoteTrouble(failed, message);
    left_out.steps += steps;
    left_out.tables.insert(std::move(failed));
    left_out.schema_changed = engine_->schema_changed_in_entry();
    over_again_ = engine_->batch_lost();
    if (over_again_) return OkStatus();
  }
}

// Looks at the tables in their order, up to the first one that has more work than a slice. The
// version of a table rises when its bound moves, because queries then tell fewer points.
Status Applier::ExpireAll(const Place& place, const std::set<std::string>& left_out,
                          std::string* failed, Status* verdict) {
  const BatchHeader& header = *place.header;
  RETURN_IF_ERROR(engine_->BeginCommand({header.wall_ms, SeedOf(place), header.command_steps_max,
                                         false, ForeignKeys::kEnforced, place.lease_ms},
                                        nullptr));
  time_series_busy_ = false;
  version_changes_.clear();
  for (const std::string& table : TimeSeriesTables()) {
    if (left_out.contains(table)) continue;
    RETURN_IF_ERROR(Expire(table, verdict));
    if (!verdict->ok()) *failed = table;
    if (!verdict->ok() || time_series_busy_) break;
    time_series_troubles_.erase(table);
  }
  return OkStatus();
}

StateFigures Applier::figures() const {
  StateFigures figures;
  figures.sessions = sessions_.size();
  figures.session_bytes = sessions_.bytes();
  figures.bare_ids = bare_ids_.size();
  figures.prepared = txs_.prepared();
  figures.prepared_bytes = txs_.prepared_bytes();
  figures.time_series_troubles = time_series_troubles_.size();
  return figures;
}

void Applier::NoteTrouble(const std::string& table, const std::string& message) {
  std::string& told = time_series_troubles_[table];
  if (told == message) return;
  told = message;
  LOG_WARN("the upkeep of the time series {} fails, and is left out: {}", table, message);
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
