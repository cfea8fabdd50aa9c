#include "state_machine/sqlite/data_file.h"

#include <functional>
#include <memory>
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
    return FailedPrecondition("it is not a SQLite database");
  }
  RETURN_IF_ERROR(status);
  ASSIGN_OR_RETURN(const bool row, find.Next());
  if (!row || find.Int(1) == 0) return OkStatus();
  if (find.Int(0) == 0) {
    return FailedPrecondition(
        "it is a SQLite database that Cairn did not make; start on a new file and load its data");
  }
  find.Finalize();
  InternalStatement format;
  RETURN_IF_ERROR(format.Prepare(db, "SELECT format FROM _cairn_state"));
  ASSIGN_OR_RETURN(const bool has_format, format.Next());
  if (!has_format) return DataLoss("_cairn_state is empty");
  if (format.Int(0) != kDataFormat) {
    return FailedPrecondition("it has format " + std::to_string(format.Int(0)) +
                              ", and this version of Cairn reads format " +
                              std::to_string(kDataFormat) +
                              " alone; use the version that made it, or load its tables into a new "
                              "file");
  }
  return OkStatus();
}

// What `use` says of the file, opened as carefully as its state allows; nothing if there is none.
// `alone`: leaves nothing beside it in any case, but nobody else may have it open.
Result<raft::SnapshotMeta> WithDataFile(
    const Storage& storage, const std::string& path, bool alone,
    const std::function<Result<raft::SnapshotMeta>(sqlite3*)>& use) {
  const Result<uint64_t> size = storage.fs.SizeOf(path);
  if (size.status().code() == StatusCode::kNotFound) return raft::SnapshotMeta();
  RETURN_IF_ERROR(size.status());
  if (size.value() == 0) return raft::SnapshotMeta();
  ASSIGN_OR_RETURN(const bool has_wal, storage.fs.Exists(path + "-wal"));
  // Nothing but the file is opened, so that a file of somebody else stays as it is.
  if (!has_wal) return WithImmutableDatabase(storage.vfs, path, kCheckCacheBytes, use);
  // After a crash the tables may stand in the WAL alone. To close must not move it into the file.
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

Status CheckDataFile(const Storage& storage, const std::string& path) {
  Status status =
      WithDataFile(storage, path, /*alone=*/false, [](sqlite3* db) -> Result<raft::SnapshotMeta> {
        RETURN_IF_ERROR(CheckOpenFile(db));
        return raft::SnapshotMeta();
      }).status();
  return status.ok() ? status : std::move(status).Prefixed(path);
}

Result<LogIndex> ReadIndexOfFile(const Storage& storage, const std::string& path) {
  Result<raft::SnapshotMeta> meta =
      WithDataFile(storage, path, /*alone=*/true, [](sqlite3* db) -> Result<raft::SnapshotMeta> {
        RETURN_IF_ERROR(CheckOpenFile(db));
        InternalStatement find;
        RETURN_IF_ERROR(
            find.Prepare(db, "SELECT 1 FROM sqlite_schema WHERE name = '_cairn_state'"));
        ASSIGN_OR_RETURN(const bool is_made, find.Next());
        find.Finalize();
        if (!is_made) return raft::SnapshotMeta();
        return ReadMeta(db);
      });
  if (!meta.ok()) return Status(meta.status()).Prefixed(path);
  return meta->index;
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
