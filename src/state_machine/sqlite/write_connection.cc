#include "state_machine/sqlite/write_connection.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/check.h"
#include "state_machine/sqlite/internal_sql.h"
#include "state_machine/sqlite/work_budget.h"

namespace cairn::state_machine {
namespace {

constexpr int kSchemaBytesMax = 256 << 20;
constexpr int kBusyTimeoutMs = 5000;

// The limits are part of the database's meaning: all nodes must accept the same values.
struct Limit {
  int id;
  int value;
};
constexpr Limit kLimits[] = {
    {SQLITE_LIMIT_LENGTH, kValueBytesMax},
    // This is not the limit of a client's text, which CheckSqlText bounds. ALTER TABLE or CREATE
    // TABLE AS may make a longer schema text, and a statement that reads all columns of that table
    // may be longer too. Every node must be able to read both, or it could not open the database
    // again.
    {SQLITE_LIMIT_SQL_LENGTH, kSchemaBytesMax},
    {SQLITE_LIMIT_COLUMN, 2000},
    {SQLITE_LIMIT_EXPR_DEPTH, 1000},
    {SQLITE_LIMIT_COMPOUND_SELECT, 500},
    {SQLITE_LIMIT_FUNCTION_ARG, 127},
    {SQLITE_LIMIT_ATTACHED, 0},
    // A step of LIKE or GLOB costs up to the product of both lengths, which the count of steps does
    // not see.
    {SQLITE_LIMIT_LIKE_PATTERN_LENGTH, kLikePatternBytesMax},
    {SQLITE_LIMIT_VARIABLE_NUMBER, 250000},
    {SQLITE_LIMIT_TRIGGER_DEPTH, 1000},
    {SQLITE_LIMIT_WORKER_THREADS, 0},
};

struct Setting {
  int id;
  int value;
};
constexpr Setting kSettings[] = {
    {SQLITE_DBCONFIG_DEFENSIVE, 1},
    // The whole schema passed the authorizer, and a function that must not be called fails when it
    // is called (write_functions.h). Without trust SQLite would refuse JSON functions in indexes,
    // CHECKs and generated columns, and FTS5 tables in triggers, which is how its manual says to
    // maintain them.
    {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 1},
    {SQLITE_DBCONFIG_WRITABLE_SCHEMA, 0},
    {SQLITE_DBCONFIG_ENABLE_FKEY, 1},
    {SQLITE_DBCONFIG_ENABLE_TRIGGER, 1},
    {SQLITE_DBCONFIG_ENABLE_VIEW, 1},
    {SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0},
    {SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, 0},
    {SQLITE_DBCONFIG_LEGACY_ALTER_TABLE, 0},
    {SQLITE_DBCONFIG_DQS_DDL, 1},
    {SQLITE_DBCONFIG_DQS_DML, 1},
    // Plans do not depend on the first values that were bound to a statement.
    {SQLITE_DBCONFIG_ENABLE_QPSG, 1},
};

// Otherwise closing the last connection would move the WAL into the file. The file would then hold
// more than the last Checkpoint reported.
constexpr Setting kNoCheckpointOnClose = {SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1};

Status SetConfig(sqlite3* db, const Setting& setting) {
  int now = -1;
  const int rc = sqlite3_db_config(db, setting.id, setting.value, &now);
  if (rc != SQLITE_OK) return SqliteTrouble(db, rc, "sqlite3_db_config");
  CHECK(now == setting.value) << "setting " << setting.id << " is " << now;
  return OkStatus();
}

// SQLite would create the file readable for everyone; its WAL and shared memory get the mode of the
// file. Exclusive: closing a descriptor of an existing file would release this process's locks on
// it.
void MakePrivateFile(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd >= 0) ::close(fd);  // else SQLite says what is wrong, if anything is
}

}  // namespace

Status OpenWriteConnection(const Storage& storage, const std::string& path, const char* vfs,
                           size_t cache_bytes, sqlite3** out) {
  if (storage.vfs == nullptr) MakePrivateFile(path);
  const int rc = sqlite3_open_v2(
      path.c_str(), out, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, vfs);
  sqlite3* const db = *out;
  if (rc != SQLITE_OK) return SqliteTrouble(db, rc, "open");
  sqlite3_extended_result_codes(db, 1);
  sqlite3_busy_timeout(db, kBusyTimeoutMs);
  for (const Limit& limit : kLimits) sqlite3_limit(db, limit.id, limit.value);
  for (const Setting& setting : kSettings) RETURN_IF_ERROR(SetConfig(db, setting));
  RETURN_IF_ERROR(SetConfig(db, kNoCheckpointOnClose));
  const std::string pragmas =
      "PRAGMA encoding = 'UTF-8'; PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;"
      "PRAGMA synchronous = NORMAL; PRAGMA recursive_triggers = OFF; PRAGMA secure_delete = OFF;"
      "PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -" +
      std::to_string(cache_bytes / 1024 + 1);
  RETURN_IF_ERROR(ExecInternal(db, pragmas.c_str()));
  // SQLite opens the temporary database when a statement first needs it. From then on, a DROP IF
  // EXISTS of a missing object takes one step more. So the temporary database is open from the
  // start, and a restarted node counts the same steps as the others.
  RETURN_IF_ERROR(ExecInternal(db, "CREATE TEMP TABLE opens(x); DROP TABLE temp.opens"));
  InternalStatement mode;
  RETURN_IF_ERROR(mode.Prepare(db, "PRAGMA journal_mode"));
  ASSIGN_OR_RETURN(const bool row, mode.Next());
  if (!row || mode.Bytes(0) != "wal") return Internal("the file system does not allow WAL mode");
  return OkStatus();
}

}  // namespace cairn::state_machine
