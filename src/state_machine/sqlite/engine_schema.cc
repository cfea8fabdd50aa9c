// Engine: the follow-up work of a change of the schema.

#include <algorithm>
#include <utility>

#include "state_machine/feature_level.h"
#include "state_machine/sqlite/engine.h"
#include "state_machine/sqlite/index_builds.h"

namespace cairn::state_machine {

Status Engine::LoadCatalog() {
  RETURN_IF_ERROR(catalog_.Load(db_));
  AllowFlattening(db_, catalog_.columns().may_flatten());
  // SQLite connects a virtual table when a statement first names it. The table's own statements are
  // then compiled in the middle of that statement, and the authorizer cannot tell them apart. A
  // fresh node would see them, and a warm node would not.
  authorizer_.SetMode(WriteAuthorizer::Mode::kRunning);
  for (const std::string& name : catalog_.VirtualTables()) {
    char* const sql = sqlite3_mprintf("SELECT 1 FROM main.\"%w\"", name.c_str());
    sqlite3_stmt* stmt = nullptr;
    const int rc = sqlite3_prepare_v2(db_, sql, -1, &stmt, nullptr);
    sqlite3_finalize(stmt);
    sqlite3_free(sql);
    // A table that cannot be connected fails again, as a result, when a client's statement uses it.
    // But a read that failed has ended the transaction and undone its work.
    if (rc != SQLITE_OK && !ErrorJudge::IsVerdict(rc)) {
      authorizer_.SetMode(WriteAuthorizer::Mode::kInternal);
      return SqliteTrouble(db_, rc, "connect " + name);
    }
  }
  authorizer_.SetMode(WriteAuthorizer::Mode::kInternal);
  return OkStatus();
}

// The first look at the schema knew no function of a level. SQLite notes of an index's expression
// whether its functions are constant, so the schema is read again.
Status Engine::OpenAtLevel(uint64_t level) {
  RETURN_IF_ERROR(SetLevel(level));
  RETURN_IF_ERROR(ExecInternal(db_, "PRAGMA writable_schema = RESET"));
  return LoadCatalog();
}

// The schema is not read again: nothing in it can use a function that was not there, but DEFAULTs,
// triggers and views, and SQLite looks for their functions at each compilation.
Status Engine::SetLevel(uint64_t level) {
  if (level_functions_.level() == level) return OkStatus();
  programs_.Clear();
  compiler_.SetLevel(level);
  catalog_.SetLevel(level);
  budget_.SetLevel(level);
  rows_.SetLevel(level);
  authorizer_.AllowTimeSeries(level >= kLevelDataPlatform);
  return level_functions_.SetLevel(db_, level);
}

// SQLite tells a virtual table of ROLLBACK TO only if a savepoint was opened since the table was made.
// Untold, a new full-text table keeps the rows that it has not written yet, and writes them at the
// next savepoint, into storage that is gone. False: the batch is lost instead, which every virtual
// table is told of.
bool Engine::TellNewTablesOfSavepoint() {
  if (savepoint_.Run().ok() && release_.Run().ok()) return true;
  if (!batch_lost()) sqlite3_exec(db_, "ROLLBACK", nullptr, nullptr, nullptr);
  return !batch_lost();
}

Status Engine::FixReservedObjects() {
  RETURN_IF_ERROR(LoadCatalog());
  reserved_objects_ = catalog_.reserved_objects();
  return zero_changes_.Prepare(db_, "DELETE FROM _cairn_state WHERE 0");
}

Status Engine::ChargeBefore(const Statement& statement, const Program& program) {
  if (!budget_.Charge(compile_charges_.StepsOf(program, statement))) return OkStatus();
  // ALTER TABLE compiles all views and triggers.
  if (program.facts.alters_table &&
      !budget_.Charge(catalog_.expansions().squares() * kStepsPerSquare +
                      catalog_.prices().total())) {
    return OkStatus();
  }
  if (budget_.steps_max() == 0) return OkStatus();
  const uint64_t pages_max = (budget_.steps_max() - budget_.steps()) / kStepsPerFreedPage;
  ASSIGN_OR_RETURN(const uint64_t pages,
                   CountDroppedPages(db_, catalog_, program.facts, pages_max));
  if (pages > pages_max && !budget_.Charge(pages * kStepsPerFreedPage)) return OkStatus();
  if (!budget_.kept_rows_are_dear()) return OkStatus();
  ASSIGN_OR_RETURN(
      const uint64_t builds,
      StepsOfIndexBuilds(db_, program.facts, statement.sql, budget_.steps_max() - budget_.steps()));
  budget_.Charge(builds);
  return OkStatus();
}

Status Engine::FinishSchemaChange(const ProgramFacts& facts, Status* verdict) {
  RETURN_IF_ERROR(AfterSchemaChange(facts));
  const size_t told_bytes = rows_.SchemaChanged();
  ASSIGN_OR_RETURN(const uint64_t free_pages, FreePages());
  const uint64_t freed = free_pages - std::min(free_pages, free_pages_before_);
  if (!budget_.Charge(freed * kStepsPerFreedPage) || !budget_.ChargeBytes(told_bytes) ||
      !budget_.Charge(catalog_.steps_to_read() + sums_.TakeScanSteps())) {
    *verdict = judge_.Exhausted();
    return OkStatus();
  }
  if (const uint64_t most = catalog_.expansions().most(); most > expansions_before_) {
    *verdict = CheckExpansions(most);
    if (!verdict->ok()) return OkStatus();
  }
  if (const uint64_t price = catalog_.prices().total(); price > schema_price_before_) {
    *verdict = CheckSchemaPrice(price);
    if (!verdict->ok()) return OkStatus();
  }
  if (const uint64_t generated = catalog_.columns().generated(); generated > generated_before_) {
    *verdict = CheckGenerated(generated);
    if (!verdict->ok()) return OkStatus();
  }
  if (renamed_to_.size() > kTableNameBytesMax) {
    *verdict = TableNameTooLong();
    return OkStatus();
  }
  if (reserved_objects_ >= 0 && catalog_.reserved_objects() != reserved_objects_) {
    // SQLite does not tell the authorizer the new name in RENAME TO.
    *verdict = PermissionDenied("names that start with _cairn_ are reserved");
    return OkStatus();
  }
  RETURN_IF_ERROR(compiler_.CheckReadsNothingReserved(facts, verdict));
  return verdict->ok() ? CheckForeignKeys(verdict) : OkStatus();
}

// Writes to Cairn's tables would check a foreign key that refers to them, and fail if it is
// violated: on every node, and for good.
Status Engine::CheckForeignKeys(Status* verdict) {
  InternalStatement find;
  RETURN_IF_ERROR(find.Prepare(
      db_,
      "SELECT 1 FROM sqlite_schema AS s, pragma_foreign_key_list(s.name) AS f WHERE s.type = "
      "'table'"
      " AND instr(lower(s.sql), '_cairn_') AND substr(lower(f.\"table\"), 1, 7) = '_cairn_'"));
  ASSIGN_OR_RETURN(const bool found, find.Next());
  if (found) *verdict = PermissionDenied("no foreign key may refer to a table of Cairn");
  return OkStatus();
}

Status Engine::AfterSchemaChange(const ProgramFacts& facts) {
  const int64_t altered_row = catalog_.RowOf(facts.altered_table);
  programs_.Clear();
  compile_charges_.Clear();
  RETURN_IF_ERROR(LoadCatalog());
  RETURN_IF_ERROR(sums_.FollowSchema());
  if (altered_row != 0 && catalog_.NameAt(altered_row) != facts.altered_table) {
    renamed_to_ = catalog_.NameAt(altered_row);
  }
  return OkStatus();
}

Status Engine::CreateOwnTables(const char* sql) {
  // Full-text tables write what they have delayed.
  RETURN_IF_ERROR(savepoint_.Run());
  RETURN_IF_ERROR(release_.Run());
  late_writes_ = false;
  schema_changed_in_batch_ = schema_changed_in_entry_ = true;
  RETURN_IF_ERROR(ExecInternal(db_, sql));
  compile_charges_.Clear();
  RETURN_IF_ERROR(LoadCatalog());
  reserved_objects_ = catalog_.reserved_objects();
  RETURN_IF_ERROR(sums_.FollowSchema());
  return ReloadSchema();
}

// SQLite's schema in memory depends on its history: estimates of tables whose statistics are gone
// or were rolled back, and the order in which ANALYZE visits the tables. A node that opens the file
// now would choose other plans, and so other orders of rows. So the schema is read anew after every
// change. That waits for the end of the command, because it also reconnects virtual tables.
Status Engine::ReloadSchema() {
  programs_.Clear();
  RETURN_IF_ERROR(ExecInternal(db_, "PRAGMA writable_schema = RESET"));
  RETURN_IF_ERROR(LoadCatalog());
  return sums_.ReadSchema();
}

}  // namespace cairn::state_machine
