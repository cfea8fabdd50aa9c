#include "state_machine/sqlite/restored_file.h"

#include <algorithm>
#include <map>
#include <memory>
#include <utility>

#include "base/bytes.h"
#include "state_machine/sqlite/access_tables.h"
#include "state_machine/sqlite/audit_tables.h"
#include "state_machine/sqlite/bare_ids.h"
#include "state_machine/sqlite/data_file.h"
#include "state_machine/sqlite/immutable_database.h"
#include "state_machine/sqlite/internal_sql.h"
#include "state_machine/sqlite/new_history.h"
#include "state_machine/sqlite/own_tables.h"
#include "state_machine/sqlite/request_memory.h"
#include "state_machine/sqlite/statement.h"

namespace cairn::state_machine {
namespace {

constexpr size_t kReadCacheBytes = 256 << 10;
constexpr const char* kCopied[] = {"_cairn_state",        "_cairn_sessions",   "_cairn_requests",
                                   "_cairn_ids",          "_cairn_id_results", "_cairn_tx",
                                   "_cairn_tx_statements"};
constexpr char kRemoved[] = "_cairn_removed";

using Versions = std::map<std::string, int64_t>;

Status Prepare(sqlite3* db, const std::string& sql, StatementPtr* out) {
  sqlite3_stmt* raw = nullptr;
  const int rc = sqlite3_prepare_v2(db, sql.c_str(), -1, &raw, nullptr);
  out->reset(raw);
  return rc == SQLITE_OK ? OkStatus() : SqliteTrouble(db, rc, "prepare " + sql);
}

// All rows of the table become those of the other database.
Status CopyTable(sqlite3* from, sqlite3* to, const std::string& table) {
  RETURN_IF_ERROR(ExecInternal(to, ("DELETE FROM " + table).c_str()));
  StatementPtr read;
  RETURN_IF_ERROR(Prepare(from, "SELECT * FROM " + table, &read));
  const int columns = sqlite3_column_count(read.get());
  std::string insert = "INSERT INTO " + table + " VALUES(?";
  for (int i = 1; i < columns; ++i) insert += ",?";
  StatementPtr write;
  RETURN_IF_ERROR(Prepare(to, insert + ")", &write));
  for (;;) {
    const int rc = sqlite3_step(read.get());
    if (rc == SQLITE_DONE) return OkStatus();
    if (rc != SQLITE_ROW) return SqliteTrouble(from, rc, "read " + table);
    for (int i = 0; i < columns; ++i) {
      sqlite3_bind_value(write.get(), i + 1, sqlite3_column_value(read.get(), i));
    }
    const int written = sqlite3_step(write.get());
    if (written != SQLITE_DONE) return SqliteTrouble(to, written, "write " + table);
    sqlite3_reset(write.get());
  }
}

Result<Versions> ReadVersions(sqlite3* db) {
  InternalStatement read;
  RETURN_IF_ERROR(read.Prepare(db, "SELECT name, version FROM _cairn_versions"));
  Versions versions;
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, read.Next());
    if (!row) return versions;
    versions[std::string(read.Bytes(0))] = read.Int(1);
  }
}

// A table that only the backup has may have been dropped since, so its version may be among those
// that were removed. A table that only the running database has is dropped by the restore.
Versions NextVersions(const Versions& running, const Versions& backup) {
  const auto of = [](const Versions& all, const std::string& name) {
    const auto it = all.find(name);
    return it == all.end() ? 0 : it->second;
  };
  Versions next;
  int64_t removed = std::max(of(running, kRemoved), of(backup, kRemoved));
  for (const auto& [name, version] : backup) {
    const bool known = running.contains(name);
    next[name] = std::max(version, of(running, known ? name : kRemoved)) + 1;
  }
  for (const auto& [name, version] : running) {
    if (!next.contains(name)) removed = std::max(removed, version);
  }
  next[""] = std::max(of(running, ""), of(backup, "")) + 1;
  next[kRemoved] = removed + 1;
  return next;
}

Status WriteVersions(sqlite3* running, sqlite3* db) {
  ASSIGN_OR_RETURN(const Versions of_running, ReadVersions(running));
  ASSIGN_OR_RETURN(const Versions of_backup, ReadVersions(db));
  InternalStatement write;
  RETURN_IF_ERROR(write.Prepare(db, "REPLACE INTO _cairn_versions(name, version) VALUES(?1, ?2)"));
  for (const auto& [name, version] : NextVersions(of_running, of_backup)) {
    RETURN_IF_ERROR(write.BindText(1, name).Bind(2, version).Run());
  }
  return OkStatus();
}

// As long as a session is remembered, its requests are refused. -1 is kEndedByRestore.
Status RefuseSessions(sqlite3* db) {
  return ExecInternal(db,
                      "DELETE FROM _cairn_requests WHERE session IN"
                      " (SELECT id FROM _cairn_sessions WHERE owner NOT GLOB 'node:*');"
                      "UPDATE _cairn_sessions SET forgotten_below = -1"
                      " WHERE owner NOT GLOB 'node:*'");
}

std::string WithoutCodes(std::string_view encoded) {
  std::string out;
  ByteReader reader(encoded);
  while (reader.remaining() > 0) {
    const uint64_t place = reader.Varint();
    TextHash id;
    id.a = reader.U64();
    id.b = reader.U64();
    const uint64_t hash = reader.U64();
    reader.U8();
    EncodeBareId(place, id, hash, kCodeNotKept, reader.String(), &out);
  }
  return out;
}

Status RefuseBareIds(sqlite3* db) {
  InternalStatement read;
  InternalStatement write;
  RETURN_IF_ERROR(read.Prepare(db, "SELECT number, ids FROM _cairn_ids ORDER BY number"));
  RETURN_IF_ERROR(write.Prepare(db, "UPDATE _cairn_ids SET ids = ?2 WHERE number = ?1"));
  std::map<uint64_t, std::string> rows;
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, read.Next());
    if (!row) break;
    rows[read.Uint(0)] = WithoutCodes(read.Bytes(1));
  }
  for (const auto& [number, ids] : rows) {
    RETURN_IF_ERROR(write.Bind(1, number).BindBlob(2, ids).Run());
  }
  return ExecInternal(db, "DELETE FROM _cairn_id_results");
}

// A restore does not rewrite what was done.
Status KeepAudit(sqlite3* running, sqlite3* db) {
  for (const char* table : AuditTables::kTables) {
    RETURN_IF_ERROR(ExecInternal(db, ("DROP TABLE IF EXISTS " + std::string(table)).c_str()));
  }
  ASSIGN_OR_RETURN(const bool has_tables, AuditTables::IsIn(running));
  if (!has_tables) return OkStatus();
  RETURN_IF_ERROR(ExecInternal(db, AuditTables::kSchema));
  for (const char* table : AuditTables::kTables) RETURN_IF_ERROR(CopyTable(running, db, table));
  return OkStatus();
}

Status WriteRestored(sqlite3* running, sqlite3* db, const std::string& restore) {
  for (const char* table : kCopied) RETURN_IF_ERROR(CopyTable(running, db, table));
  RETURN_IF_ERROR(WriteVersions(running, db));
  RETURN_IF_ERROR(RefuseSessions(db));
  RETURN_IF_ERROR(RefuseBareIds(db));
  ASSIGN_OR_RETURN(const raft::SnapshotMeta meta, ReadMeta(db));
  RETURN_IF_ERROR(ForgetRetainedChanges(db, meta.index));
  RETURN_IF_ERROR(KeepAccess(running, db));
  RETURN_IF_ERROR(KeepAudit(running, db));
  return ExecInternal(db, restore.c_str());
}

}  // namespace

Status CheckHead(const Storage& storage, const std::string& path) {
  constexpr size_t kHeadBytes = 100;
  ASSIGN_OR_RETURN(const std::unique_ptr<File> file, storage.fs.Open(path, /*create=*/false));
  ASSIGN_OR_RETURN(const std::string head, file->ReadAt(0, kHeadBytes));
  const bool whole = head.size() == kHeadBytes && head.starts_with("SQLite format 3");
  // SQLite opens a file of another write version, but only to read.
  const auto version = [&head](size_t at) { return head[at] == 1 || head[at] == 2; };
  const auto number = [&head](size_t at) {
    return std::string_view(head).substr(at, 3) == std::string_view("\0\0\0", 3)
               ? static_cast<uint8_t>(head[at + 3])
               : 255;
  };
  const bool utf8 = whole && number(56) == 1;
  if (whole && version(18) && version(19) && number(44) >= 1 && number(44) <= 4 && utf8) {
    return OkStatus();
  }
  return FailedPrecondition("it is no file of SQLite as Cairn writes it");
}

Status CheckOwnTables(const Storage& storage, const std::string& path) {
  const auto check = [](sqlite3* db) -> Result<raft::SnapshotMeta> {
    RETURN_IF_ERROR(CheckSchemaOfOwnTables(db));
    return raft::SnapshotMeta();
  };
  return WithImmutableDatabase(storage.vfs, path, kReadCacheBytes, check).status();
}

Result<raft::SnapshotMeta> MakeRestoredFile(const Storage& storage, const std::string& path,
                                            sqlite3* running, const std::string& restore,
                                            Trial trial) {
  sqlite3* raw = nullptr;
  const int rc =
      sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, storage.vfs);
  const std::unique_ptr<sqlite3, int (*)(sqlite3*)> db(raw, &sqlite3_close);
  if (rc != SQLITE_OK) return SqliteTrouble(raw, rc, "open");
  // Triggers of the backup have no say in what Cairn writes.
  sqlite3_db_config(raw, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
  // Nobody knows the file before it is whole, so there is nothing to roll back after a crash.
  RETURN_IF_ERROR(ExecInternal(raw, "PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF"));
  RETURN_IF_ERROR(ExecInternal(raw, "BEGIN IMMEDIATE"));
  RETURN_IF_ERROR(WriteRestored(running, raw, restore));
  if (trial == Trial::kYes) {
    ASSIGN_OR_RETURN(raft::SnapshotMeta meta, ReadMeta(raw));
    RETURN_IF_ERROR(ExecInternal(raw, "ROLLBACK"));
    return meta;
  }
  RETURN_IF_ERROR(ExecInternal(raw, "COMMIT"));
  return ReadMeta(raw);
}

}  // namespace cairn::state_machine
