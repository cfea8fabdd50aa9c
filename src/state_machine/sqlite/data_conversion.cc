#include "state_machine/sqlite/data_conversion.h"

#include <sqlite3.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "state_machine/sqlite/data_file.h"
#include "state_machine/sqlite/internal_sql.h"
#include "state_machine/sqlite/request_conversion.h"
#include "state_machine/sqlite/sql_scan.h"

namespace cairn::state_machine {
namespace {

// Version 0.1 kept ROLLBACK in schemas. There ROLLBACK would end the SQLite transaction with the
// earlier commands in it, and the command would be charged for that. In a new statement ROLLBACK
// means ABORT.
Status ConvertSchema(sqlite3* db) {
  std::vector<std::pair<int64_t, std::string>> changed;
  InternalStatement find;
  RETURN_IF_ERROR(
      find.Prepare(db, "SELECT rowid, sql FROM sqlite_schema WHERE sql LIKE '%rollback%'"));
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, find.Next());
    if (!row) break;
    const std::string sql(find.Bytes(1));
    std::string without = WithoutRollback(sql);
    if (without != sql) changed.emplace_back(find.Int(0), std::move(without));
  }
  if (changed.empty()) return OkStatus();
  find.Finalize();
  RETURN_IF_ERROR(ExecInternal(db, "PRAGMA writable_schema = ON"));
  InternalStatement write;
  RETURN_IF_ERROR(write.Prepare(db, "UPDATE sqlite_schema SET sql = ?2 WHERE rowid = ?1"));
  for (const auto& [row, sql] : changed) {
    RETURN_IF_ERROR(write.Bind(1, row).BindText(2, sql).Run());
  }
  write.Finalize();
  return ExecInternal(db, "PRAGMA writable_schema = RESET");
}

struct Step {
  const char* part;
  Status (*run)(sqlite3* db);
};

// The steps, in order. Each sees the results of the earlier steps.
constexpr Step kSteps[] = {
    {"schema", &ConvertSchema},
    {"_cairn_sessions", &ConvertSessions},
    {"_cairn_tx", &ConvertTransactions},
    {"_cairn_state", &ConvertState},
};

Status Convert(sqlite3* db) {
  for (const Step& step : kSteps) {
    Status status = step.run(db);
    if (!status.ok()) return std::move(status).Prefixed(step.part);
  }
  return OkStatus();
}

}  // namespace

Status ConvertDataFile(const Storage& storage, const std::string& path) {
  sqlite3* raw = nullptr;
  const int rc =
      sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, storage.vfs);
  const std::unique_ptr<sqlite3, int (*)(sqlite3*)> db(raw, &sqlite3_close);
  if (rc != SQLITE_OK) return SqliteTrouble(raw, rc, "open " + path);
  sqlite3_extended_result_codes(raw, 1);
  sqlite3_db_config(raw, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  // The first checkpoint is made by the state machine, which first stores the contents of the WAL
  // again.
  RETURN_IF_ERROR(ExecInternal(
      raw, "PRAGMA wal_autocheckpoint = 0; PRAGMA temp_store = MEMORY; BEGIN IMMEDIATE"));
  Status status = Convert(raw);
  if (status.ok()) status = ExecInternal(raw, "COMMIT");
  if (!status.ok()) {
    ExecInternal(raw, "ROLLBACK").Prefixed("undo the conversion").ok();
    return std::move(status).Prefixed("convert " + path + " from the format of Cairn 0.1");
  }
  LOG_INFO("the database was converted from the format of Cairn 0.1 file={}", path);
  return OkStatus();
}

}  // namespace cairn::state_machine
