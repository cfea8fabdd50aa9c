#include "state_machine/sqlite/data_file.h"

#include <utility>

#include "raft/configuration_codec.h"
#include "state_machine/sqlite/immutable_database.h"
#include "state_machine/sqlite/internal_sql.h"

namespace cairn::state_machine {
namespace {

constexpr size_t kCheckCacheBytes = 256 << 10;

Status CheckOpenFile(sqlite3* db) {
  InternalStatement find;
  Status status =
      find.Prepare(db,
                   "SELECT EXISTS(SELECT 1 FROM sqlite_schema WHERE name = '_cairn_state'),"
                   " EXISTS(SELECT 1 FROM sqlite_schema)");
  if (status.code() == StatusCode::kDataLoss) {
    return FailedPrecondition("it is not a SQLite data base");
  }
  RETURN_IF_ERROR(status);
  ASSIGN_OR_RETURN(const bool row, find.Next());
  if (!row || find.Int(1) == 0) return OkStatus();
  if (find.Int(0) == 0) {
    return FailedPrecondition(
        "it is a SQLite data base that Cairn did not make; start on a new file and load its data");
  }
  find.Finalize();
  InternalStatement format;
  RETURN_IF_ERROR(format.Prepare(db, "SELECT format FROM _cairn_state"));
  ASSIGN_OR_RETURN(const bool has_format, format.Next());
  if (!has_format) return DataLoss("_cairn_state is empty");
  if (format.Int(0) > kDataFormat) {
    return FailedPrecondition("it has format " + std::to_string(format.Int(0)) +
                              ", and this version of Cairn knows formats up to " +
                              std::to_string(kDataFormat));
  }
  return OkStatus();
}

}  // namespace

Status CheckDataFile(const Storage& storage, const std::string& path) {
  const Result<uint64_t> size = storage.fs.SizeOf(path);
  if (size.status().code() == StatusCode::kNotFound) return OkStatus();
  RETURN_IF_ERROR(size.status());
  if (size.value() == 0) return OkStatus();
  ASSIGN_OR_RETURN(const bool has_wal, storage.fs.Exists(path + "-wal"));
  Status status;
  if (!has_wal) {
    // Nothing but the file is opened, so that a file of somebody else stays as it is.
    Result<raft::SnapshotMeta> looked = WithImmutableDatabase(
        storage.vfs, path, kCheckCacheBytes, [&](sqlite3* db) -> Result<raft::SnapshotMeta> {
          status = CheckOpenFile(db);
          return raft::SnapshotMeta();
        });
    if (status.ok() && !looked.ok()) status = looked.status();
  } else {
    // After a crash the tables may stand in the WAL alone. To close must not move it into the file.
    sqlite3* db = nullptr;
    const int rc = sqlite3_open_v2(path.c_str(), &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
                                   storage.vfs);
    if (rc == SQLITE_OK) sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
    status = rc == SQLITE_OK ? CheckOpenFile(db) : SqliteTrouble(db, rc, "open");
    sqlite3_close(db);
  }
  return status.ok() ? status : std::move(status).Prefixed(path);
}

Result<AppliedState> ReadAppliedState(sqlite3* db) {
  InternalStatement read;
  RETURN_IF_ERROR(read.Prepare(
      db, "SELECT applied_index, applied_term, lease_ms, config, config_index FROM _cairn_state"));
  ASSIGN_OR_RETURN(const bool row, read.Next());
  if (!row) return DataLoss("_cairn_state is empty");
  AppliedState state;
  state.index = LogIndex(read.Uint(0));
  state.term = Term(read.Uint(1));
  state.lease_ms = read.Uint(2);
  const auto config = raft::DecodeConfiguration(read.Bytes(3));
  if (!config.has_value()) return DataLoss("_cairn_state holds a malformed configuration");
  state.config = *config;
  state.config_index = LogIndex(read.Uint(4));
  return state;
}

Result<raft::SnapshotMeta> ReadMeta(sqlite3* db) {
  ASSIGN_OR_RETURN(AppliedState state, ReadAppliedState(db));
  return raft::SnapshotMeta{state.index, state.term, std::move(state.config), state.config_index};
}

}  // namespace cairn::state_machine
