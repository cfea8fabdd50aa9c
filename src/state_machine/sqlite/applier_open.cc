// Applier: opens a database, creates a new one, or raises its feature level.

#include <algorithm>
#include <utility>

#include "raft/configuration_codec.h"
#include "state_machine/sqlite/applier.h"
#include "state_machine/sqlite/data_conversion.h"
#include "state_machine/sqlite/data_file.h"

namespace cairn::state_machine {

Result<std::unique_ptr<Applier>> Applier::Open(const Storage& storage, const std::string& path,
                                               size_t cache_bytes,
                                               const raft::Configuration& founding,
                                               uint64_t level_max, uint64_t request_room_divisor) {
  ASSIGN_OR_RETURN(const int format, CheckDataFile(storage, path, level_max));
  if (format == kDataFormatOf01) RETURN_IF_ERROR(ConvertDataFile(storage, path));
  std::unique_ptr<Applier> applier(new Applier(level_max, request_room_divisor));
  ASSIGN_OR_RETURN(applier->engine_, Engine::Open(storage, path, cache_bytes));
  Status status = applier->OpenTables(founding);
  if (status.ok()) status = applier->restore_.Open(storage, path, applier->engine_.get());
  if (!status.ok()) return std::move(status).Prefixed("open " + path);
  return applier;
}

Status Applier::OpenTables(const raft::Configuration& founding) {
  if (!engine_->catalog().HasTable("_cairn_state")) RETURN_IF_ERROR(CreateTables(founding));
  sqlite3* const db = engine_->db();
  ASSIGN_OR_RETURN(applied_, ReadAppliedState(db));
  // First, because a scan of the rows computes their generated columns.
  RETURN_IF_ERROR(engine_->OpenAtLevel(applied_.level));
  // A new file gets its sums now.
  RETURN_IF_ERROR(engine_->BeginBatch());
  RETURN_IF_ERROR(engine_->OpenSums());
  RETURN_IF_ERROR(engine_->CommitBatch());
  RETURN_IF_ERROR(engine_->FixReservedObjects());
  RETURN_IF_ERROR(versions_.Open(db));
  RETURN_IF_ERROR(sessions_.Open(db));
  RETURN_IF_ERROR(bare_ids_.Open(db));
  RETURN_IF_ERROR(txs_.Open(db));
  RETURN_IF_ERROR(retention_.Open(engine_.get()));
  RETURN_IF_ERROR(access_.Open(engine_.get()));
  RETURN_IF_ERROR(audit_.Open(engine_.get()));
  RETURN_IF_ERROR(write_state_.Prepare(
      db,
      "UPDATE _cairn_state SET applied_index = ?1, applied_term = ?2, lease_ms = ?3,"
      " results_from = ?4, level = ?5, results_hash = ?6,"
      " ended_from = ?7, wall_ms = ?8"));
  return write_config_.Prepare(db, "UPDATE _cairn_state SET config = ?1, config_index = ?2");
}

Status Applier::CreateTables(const raft::Configuration& founding) {
  sqlite3* const db = engine_->db();
  RETURN_IF_ERROR(engine_->BeginBatch());
  for (const char* schema : {kStateSchema, Versions::kSchema, Sessions::kSchema, BareIds::kSchema,
                             Transactions::kSchema}) {
    RETURN_IF_ERROR(ExecInternal(db, schema));
  }
  InternalStatement insert;
  RETURN_IF_ERROR(insert.Prepare(
      db,
      "INSERT INTO _cairn_state(id, format, applied_index, applied_term, lease_ms,"
      " results_from, config, config_index, level, results_hash, ended_from, wall_ms)"
      " VALUES(1, ?1, 0, 0, 0, 0, ?2, 0, ?3, 0, 0, 0)"));
  const std::string encoded = raft::EncodeConfiguration(founding);
  RETURN_IF_ERROR(insert.Bind(1, static_cast<int64_t>(kDataFormat))
                      .BindBlob(2, encoded)
                      .Bind(3, kLevelFirst)
                      .Run());
  insert.Finalize();
  return engine_->CommitBatch();
}

Status Applier::ApplyRaiseLevel(const Operation& operation, const Place& /*place*/,
                                CommandResult* /*result*/) {
  level_ = std::max(level_, std::get<RaiseLevel>(operation).level);
  return engine_->SetLevel(level_);
}

}  // namespace cairn::state_machine
