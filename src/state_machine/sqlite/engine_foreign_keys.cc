// Engine: commands with foreign keys off, and the check at their end.

#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "state_machine/sqlite/engine.h"

namespace cairn::state_machine {
namespace {

std::string CheckOf(const std::string& table) {
  char* const text = sqlite3_mprintf("PRAGMA main.foreign_key_check(\"%w\")", table.c_str());
  CHECK(text != nullptr) << "no memory";
  std::string sql = text;
  sqlite3_free(text);
  return sql;
}

// The tables that have foreign keys, by name, so that all nodes check them in one order.
Result<std::vector<std::string>> TablesWithForeignKeys(sqlite3* db) {
  InternalStatement find;
  RETURN_IF_ERROR(find.Prepare(
      db,
      "SELECT name FROM sqlite_schema AS s WHERE type = 'table' AND instr(lower(sql), 'references')"
      " AND EXISTS (SELECT 1 FROM pragma_foreign_key_list(s.name)) ORDER BY name"));
  std::vector<std::string> tables;
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, find.Next());
    if (!row) return tables;
    tables.emplace_back(find.Bytes(0));
  }
}

std::string TextAt(sqlite3_stmt* stmt, int column) {
  const auto* const text = reinterpret_cast<const char*>(sqlite3_column_text(stmt, column));
  return text == nullptr ? "" : text;
}

// `stmt` stands on a row of foreign_key_check: the table, its rowid or NULL, the table referred to.
Status RefersToNothing(sqlite3_stmt* stmt) {
  const std::string rowid = TextAt(stmt, 1);
  return FailedPrecondition(
      "FOREIGN KEY constraint failed: " + (rowid.empty() ? "a row" : "row " + rowid) + " of " +
      TextAt(stmt, 0) + " refers to no row of " + TextAt(stmt, 2));
}

}  // namespace

// PRAGMA foreign_keys does nothing within a transaction, because statements that are counted as
// deferred violations could then not be settled. A command begins and ends without any, so the
// setting may change between two commands. Programs hold the code that enforces foreign keys.
void Engine::EnforceForeignKeys(bool enforce) {
  if (enforce == enforces_foreign_keys_) return;
  programs_.Clear();
  int now = -1;
  const int rc = sqlite3_db_config(db_, SQLITE_DBCONFIG_ENABLE_FKEY, enforce ? 1 : 0, &now);
  CHECK(rc == SQLITE_OK && now == (enforce ? 1 : 0)) << "foreign keys: " << rc;
  enforces_foreign_keys_ = enforce;
}

Status Engine::CheckAllForeignKeys(Status* verdict) {
  if (!budget_.Charge(catalog_.steps_to_read())) {
    *verdict = judge_.Exhausted();
    return OkStatus();
  }
  ASSIGN_OR_RETURN(const std::vector<std::string> tables, TablesWithForeignKeys(db_));
  for (const std::string& table : tables) {
    RETURN_IF_ERROR(CheckForeignKeysOf(table, verdict));
    if (!verdict->ok()) return OkStatus();
  }
  return OkStatus();
}

Status Engine::CheckForeignKeysOf(const std::string& table, Status* verdict) {
  Program program;
  program.sql = CheckOf(table);
  program.value_bytes_max = kValueBytesMax;
  if (!budget_.Charge(kStepsPerStatement)) {
    *verdict = judge_.Exhausted();
    return OkStatus();
  }
  judge_.BeginStatement();
  sqlite3_stmt* stmt = nullptr;
  const int prepared = sqlite3_prepare_v2(db_, program.sql.c_str(), -1, &stmt, nullptr);
  program.stmt.reset(stmt);
  // Of a foreign key that names columns without a unique index.
  if (prepared != SQLITE_OK) return judge_.Judge(prepared, "check foreign keys", verdict);
  meter_.Begin(program, /*given_bytes=*/0, /*search_price=*/0);
  const int rc = meter_.Step(program);
  if (rc == SQLITE_ROW) {
    *verdict = RefersToNothing(stmt);
    meter_.LiftLimit();
  }
  meter_.End();
  if (budget_.exhausted()) {
    *verdict = judge_.Exhausted();
    return OkStatus();
  }
  return rc == SQLITE_ROW || rc == SQLITE_DONE ? OkStatus()
                                               : judge_.Judge(rc, "check foreign keys", verdict);
}

}  // namespace cairn::state_machine
