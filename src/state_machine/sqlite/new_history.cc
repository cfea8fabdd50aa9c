#include "state_machine/sqlite/new_history.h"

#include <sqlite3.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <utility>

#include "raft/configuration_codec.h"
#include "state_machine/sqlite/data_file.h"
#include "state_machine/sqlite/immutable_database.h"
#include "state_machine/sqlite/internal_sql.h"
#include "state_machine/sqlite/snapshot_install.h"
#include "state_machine/sqlite/sound_copy.h"
#include "state_machine/sqlite/storage.h"

namespace cairn::state_machine {
namespace {

constexpr size_t kReadCacheBytes = 256 << 10;
// The number of a command is its index with 12 bits more, and fits into an integer of SQLite.
constexpr uint64_t kRestoresMax = uint64_t{1} << (51 - kRestoreCountShift);

raft::Configuration Alone(const raft::Configuration& old, uint64_t node_id,
                          const std::string& address, uint64_t nonce) {
  raft::Configuration config;
  // A member id that nobody has had: nothing of the old members can be taken for this one.
  const uint64_t id = std::max(old.next_member_id, node_id);
  config.voters.insert(MemberId(id));
  config.info[MemberId(id)] = raft::MemberInfo{node_id, address, nonce};
  config.next_member_id = id + 1;
  return config;
}

Status WriteState(sqlite3* db, const raft::SnapshotMeta& meta) {
  const std::string config = raft::EncodeConfiguration(meta.config);
  InternalStatement write;
  RETURN_IF_ERROR(write.Prepare(db,
                                "UPDATE _cairn_state SET applied_index = ?1, applied_term = ?2,"
                                " config = ?3, config_index = ?1"));
  return write.Bind(1, meta.index.value()).Bind(2, meta.term.value()).BindBlob(3, config).Run();
}

// A table that is created later begins above all versions that a table of its name can have had.
Status RaiseVersions(sqlite3* db) {
  InternalStatement raise;
  RETURN_IF_ERROR(raise.Prepare(db, "UPDATE _cairn_versions SET version = version + ?1"));
  RETURN_IF_ERROR(raise.Bind(1, kRestoredVersionsStep).Run());
  return ExecInternal(db,
                      "REPLACE INTO _cairn_versions(name, version)"
                      " SELECT '_cairn_removed', max(version) FROM _cairn_versions"
                      " HAVING count(*) > 0");
}

Status RefuseOldSessions(sqlite3* db) {
  return ExecInternal(db,
                      "DELETE FROM _cairn_requests;"
                      // -1 is kEndedByRestore.
                      "UPDATE _cairn_sessions SET forgotten_below = -1");
}

Status WriteHistory(sqlite3* db, const raft::SnapshotMeta& meta) {
  RETURN_IF_ERROR(WriteState(db, meta));
  RETURN_IF_ERROR(RaiseVersions(db));
  RETURN_IF_ERROR(ForgetRetainedChanges(db, meta.index));
  return RefuseOldSessions(db);
}

}  // namespace

Status ForgetRetainedChanges(sqlite3* db, LogIndex index) {
  InternalStatement find;
  RETURN_IF_ERROR(find.Prepare(db, "SELECT 1 FROM sqlite_schema WHERE name = '_cairn_retention'"));
  ASSIGN_OR_RETURN(const bool found, find.Next());
  find.Finalize();
  if (!found) return OkStatus();
  RETURN_IF_ERROR(ExecInternal(db,
                               "DELETE FROM _cairn_changes;"
                               "DELETE FROM _cairn_changed_tables;"
                               "DELETE FROM _cairn_digest WHERE name = '_cairn_changes';"
                               "DELETE FROM _cairn_retention WHERE retain_ms = 0"));
  InternalStatement write;
  RETURN_IF_ERROR(write.Prepare(
      db, "UPDATE _cairn_retention SET since_index = ?1, since_ordinal = 0, bytes = 0"));
  return write.Bind(1, index.value() + 1).Run();
}

Result<raft::SnapshotMeta> CheckBackup(const Storage& storage, const std::string& path,
                                       uint64_t level_max) {
  ASSIGN_OR_RETURN(const int format, CheckDataFile(storage, path, level_max));
  if (format == 0) return FailedPrecondition(path + ": it is empty, and no backup");
  if (format != kDataFormat) {
    return FailedPrecondition(
        path +
        ": it is of Cairn 0.1; start a server on a copy of it, which converts "
        "it, and make a backup of that");
  }
  ASSIGN_OR_RETURN(raft::SnapshotMeta meta,
                   WithImmutableDatabase(storage.vfs, path, kReadCacheBytes, &ReadMeta));
  // The simulator, which has files of its own, has no threads.
  std::function<bool()> go_on;
  if (storage.vfs == nullptr) go_on = [] { return true; };
  Status sound = CheckSnapshotFile(storage.vfs, path, meta, &ReadMetaOfSound, go_on);
  if (!sound.ok()) return std::move(sound).Prefixed(path);
  return meta;
}

Result<raft::SnapshotMeta> BeginNewHistory(const std::string& path, uint64_t node_id,
                                           const std::string& address, uint64_t nonce) {
  sqlite3* raw = nullptr;
  const int rc =
      sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  const std::unique_ptr<sqlite3, int (*)(sqlite3*)> db(raw, &sqlite3_close);
  if (rc != SQLITE_OK) return SqliteTrouble(raw, rc, "open");
  ASSIGN_OR_RETURN(raft::SnapshotMeta meta, ReadMeta(raw));
  const uint64_t count = RestoreCountOf(meta.index) + 1;
  if (count >= kRestoresMax) {
    return FailedPrecondition("the database was restored too often; load its dump into a new one");
  }
  meta.index = LogIndex(count << kRestoreCountShift);
  meta.term = Term(meta.term.value() + 1);
  meta.config = Alone(meta.config, node_id, address, nonce);
  meta.config_index = meta.index;
  // One file: the rollback journal is gone when the transaction is over.
  RETURN_IF_ERROR(ExecInternal(raw, "PRAGMA synchronous = FULL; PRAGMA journal_mode = DELETE"));
  RETURN_IF_ERROR(ExecInternal(raw, "BEGIN IMMEDIATE"));
  RETURN_IF_ERROR(WriteHistory(raw, meta));
  RETURN_IF_ERROR(ExecInternal(raw, "COMMIT"));
  return meta;
}

}  // namespace cairn::state_machine
