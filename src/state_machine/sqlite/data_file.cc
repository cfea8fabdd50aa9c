#include "state_machine/sqlite/data_file.h"

#include <functional>
#include <memory>
#include <utility>

#include "raft/configuration_codec.h"
#include "state_machine/sqlite/data_conversion.h"
#include "state_machine/sqlite/immutable_database.h"
#include "state_machine/sqlite/internal_sql.h"
#include "state_machine/sqlite/sqlite_state_machine.h"

namespace cairn::state_machine {
namespace {

constexpr size_t kCheckCacheBytes = 256 << 10;

// 0: the database is empty.
Result<int> FormatOfOpenFile(sqlite3* db) {
  InternalStatement find;
  Status status =
      find.Prepare(db,
                   "SELECT EXISTS(SELECT 1 FROM sqlite_schema WHERE name = '_cairn_state'),"
                   " EXISTS(SELECT 1 FROM sqlite_schema)");
  if (status.code() == StatusCode::kDataLoss) {
    return FailedPrecondition("it is not a SQLite database");
  }
  RETURN_IF_ERROR(status);
  ASSIGN_OR_RETURN(const bool row, find.Next());
  if (!row || find.Int(1) == 0) return 0;
  if (find.Int(0) == 0) {
    return FailedPrecondition(
        "it is a SQLite database that Cairn did not make; start on a new file and load its data");
  }
  find.Finalize();
  InternalStatement format;
  RETURN_IF_ERROR(format.Prepare(db, "SELECT format FROM _cairn_state"));
  ASSIGN_OR_RETURN(const bool has_format, format.Next());
  if (!has_format) return DataLoss("_cairn_state is empty");
  const auto found = static_cast<int>(format.Int(0));
  if (found == kDataFormat || found == kDataFormatOf01) return found;
  return FailedPrecondition(
      "it has format " + std::to_string(found) + ", and this version of Cairn reads formats " +
      std::to_string(kDataFormatOf01) + " and " + std::to_string(kDataFormat) +
      "; use the version that made it, or load its tables into a new file");
}

Status CheckLevel(sqlite3* db, uint64_t level_max) {
  InternalStatement read;
  RETURN_IF_ERROR(read.Prepare(db, "SELECT level FROM _cairn_state"));
  ASSIGN_OR_RETURN(const bool row, read.Next());
  if (!row) return DataLoss("_cairn_state is empty");
  if (read.Uint(0) <= level_max) return OkStatus();
  return FailedPrecondition("it has feature level " + std::to_string(read.Uint(0)) +
                            ", and this version of Cairn knows levels up to " +
                            std::to_string(level_max) + "; start a later version");
}

// Calls `use` with the file, opened as carefully as its state allows. Does nothing if there is no
// file. `alone`: leaves no file beside it in any case, but nobody else may have the file open.
Status WithDataFile(const Storage& storage, const std::string& path, bool alone,
                    const std::function<Status(sqlite3*)>& use) {
  const Result<uint64_t> size = storage.fs.SizeOf(path);
  if (size.status().code() == StatusCode::kNotFound) return OkStatus();
  RETURN_IF_ERROR(size.status());
  if (size.value() == 0) return OkStatus();
  ASSIGN_OR_RETURN(const bool has_wal, storage.fs.Exists(path + "-wal"));
  // Opens only the file, so that a file that is not Cairn's stays as it is.
  if (!has_wal) {
    return WithImmutableDatabase(storage.vfs, path, kCheckCacheBytes,
                                 [&use](sqlite3* db) -> Result<raft::SnapshotMeta> {
                                   RETURN_IF_ERROR(use(db));
                                   return raft::SnapshotMeta();
                                 })
        .status();
  }
  // After a crash the tables may be in the WAL alone. Closing must not move the WAL into the file.
  sqlite3* raw = nullptr;
  const int rc =
      sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, storage.vfs);
  const std::unique_ptr<sqlite3, int (*)(sqlite3*)> db(raw, &sqlite3_close);
  if (rc != SQLITE_OK) return SqliteTrouble(raw, rc, "open");
  sqlite3_db_config(raw, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  // SQLite then keeps its index of the WAL in memory.
  if (alone) RETURN_IF_ERROR(ExecInternal(raw, "PRAGMA locking_mode = EXCLUSIVE"));
  return use(raw);
}

}  // namespace

const char* const kStateSchema =
    "CREATE TABLE _cairn_state(id INTEGER PRIMARY KEY CHECK (id = 1), format INTEGER NOT NULL,"
    " applied_index INTEGER NOT NULL, applied_term INTEGER NOT NULL, lease_ms INTEGER NOT NULL,"
    " results_from INTEGER NOT NULL, config BLOB NOT NULL, config_index INTEGER NOT NULL,"
    " level INTEGER NOT NULL, results_hash INTEGER NOT NULL, ended_from INTEGER NOT NULL,"
    " wall_ms INTEGER NOT NULL)";

// Version 0.1 remembered 10,000 ended transactions. If there are that many, others may have been
// forgotten. The table is created anew: ALTER TABLE would leave another schema text than a new file
// has.
Status ConvertState(sqlite3* db) {
  RETURN_IF_ERROR(ExecInternal(db,
                               "CREATE TEMP TABLE state_of_0_1 AS SELECT * FROM _cairn_state;"
                               "DROP TABLE _cairn_state"));
  RETURN_IF_ERROR(ExecInternal(db, kStateSchema));
  InternalStatement copy;
  RETURN_IF_ERROR(copy.Prepare(
      db,
      "INSERT INTO _cairn_state(id, format, applied_index, applied_term, lease_ms, results_from,"
      " config, config_index, level, results_hash, ended_from, wall_ms)"
      " SELECT id, ?1, applied_index, applied_term, lease_ms, 0, config, config_index, ?2, 0,"
      " (SELECT count(*) FROM _cairn_tx WHERE state <> 1) >= 10000, 0 FROM state_of_0_1"));
  RETURN_IF_ERROR(copy.Bind(1, static_cast<int64_t>(kDataFormat)).Bind(2, kLevelFirst).Run());
  copy.Finalize();
  return ExecInternal(db, "DROP TABLE state_of_0_1");
}

Result<int> CheckDataFile(const Storage& storage, const std::string& path, uint64_t level_max) {
  int format = 0;
  Status status = WithDataFile(storage, path, /*alone=*/false, [&](sqlite3* db) -> Status {
    ASSIGN_OR_RETURN(format, FormatOfOpenFile(db));
    return format == kDataFormat ? CheckLevel(db, level_max) : OkStatus();
  });
  if (!status.ok()) return std::move(status).Prefixed(path);
  return format;
}

Result<FileSummary> ReadFileSummary(const Storage& storage, const std::string& path) {
  FileSummary summary;
  Status status = WithDataFile(storage, path, /*alone=*/true, [&](sqlite3* db) -> Status {
    ASSIGN_OR_RETURN(summary.format, FormatOfOpenFile(db));
    if (summary.format == 0) return OkStatus();
    ASSIGN_OR_RETURN(const raft::SnapshotMeta meta, ReadMeta(db));
    summary.applied = meta.index;
    return OkStatus();
  });
  if (!status.ok()) return std::move(status).Prefixed(path);
  return summary;
}

Result<DataFileSummary> SummaryOfDataFile(const std::string& path) {
  ASSIGN_OR_RETURN(const FileSummary summary, ReadFileSummary(Storage{}, path));
  return DataFileSummary{summary.applied, summary.format == kDataFormat};
}

Result<AppliedState> ReadAppliedState(sqlite3* db) {
  ASSIGN_OR_RETURN(raft::SnapshotMeta meta, ReadMeta(db));
  InternalStatement read;
  RETURN_IF_ERROR(
      read.Prepare(db, "SELECT lease_ms, level, results_hash, wall_ms FROM _cairn_state"));
  ASSIGN_OR_RETURN(const bool row, read.Next());
  if (!row) return DataLoss("_cairn_state is empty");
  AppliedState state;
  state.index = meta.index;
  state.term = meta.term;
  state.config = std::move(meta.config);
  state.config_index = meta.config_index;
  state.lease_ms = read.Uint(0);
  state.level = read.Uint(1);
  state.results_hash = read.Uint(2);
  state.wall_ms = read.Int(3);
  return state;
}

Result<raft::SnapshotMeta> ReadMeta(sqlite3* db) {
  InternalStatement read;
  RETURN_IF_ERROR(read.Prepare(
      db, "SELECT applied_index, applied_term, config, config_index FROM _cairn_state"));
  ASSIGN_OR_RETURN(const bool row, read.Next());
  if (!row) return DataLoss("_cairn_state is empty");
  raft::SnapshotMeta meta;
  meta.index = LogIndex(read.Uint(0));
  meta.term = Term(read.Uint(1));
  auto config = raft::DecodeConfiguration(read.Bytes(2));
  if (!config.has_value()) return DataLoss("_cairn_state holds a malformed configuration");
  meta.config = std::move(*config);
  meta.config_index = LogIndex(read.Uint(3));
  return meta;
}

Status WriteWalAgain(FileSystem& fs, const std::string& path) {
  constexpr size_t kChunkBytes = 1 << 20;
  const std::string wal_path = path + "-wal";
  ASSIGN_OR_RETURN(const bool exists, fs.Exists(wal_path));
  if (!exists) return OkStatus();
  ASSIGN_OR_RETURN(const std::unique_ptr<File> wal, fs.Open(wal_path, /*create=*/false));
  for (uint64_t at = 0;;) {
    ASSIGN_OR_RETURN(const std::string chunk, wal->ReadAt(at, kChunkBytes));
    if (chunk.empty()) return OkStatus();
    RETURN_IF_ERROR(wal->WriteAt(at, chunk));
    at += chunk.size();
  }
}

}  // namespace cairn::state_machine
