#include "state_machine/sqlite/engine.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/check.h"
#include "state_machine/sqlite/sqlite_memory.h"
#include "state_machine/sqlite/value_bound.h"
#include "state_machine/sqlite/write_connection.h"

namespace cairn::state_machine {
namespace {

// The bytes of the longest value that is bound to the statement, or of a long literal.
size_t GivenBytes(const Program& program, const Statement& statement) {
  const size_t bytes = LargestValueBytes(statement);
  return program.keep ? bytes : std::max(bytes, statement.sql.size());
}

Status LiteralTooLong() {
  return ResourceExhausted(
      "a blob literal is longer than a value may be at this place of the command: give it as a "
      "parameter, or in a command of its own");
}

}  // namespace

// ---- Opening ------------------------------------------------------------------------------------

Result<std::unique_ptr<Engine>> Engine::Open(const Storage& storage, const std::string& path,
                                             size_t cache_bytes) {
  UseUtcAsLocalTime();
  std::unique_ptr<Engine> engine(new Engine(storage.vfs));
  Status status = engine->Configure(storage, path, cache_bytes);
  if (!status.ok()) return std::move(status).Prefixed("open " + path);
  return engine;
}

Engine::~Engine() {
  programs_.Clear();
  sums_.Close();
  for (InternalStatement* each :
       {&begin_, &commit_, &savepoint_, &release_, &rollback_to_, &zero_changes_, &free_pages_}) {
    each->Finalize();
  }
  const int rc = sqlite3_close(db_);
  CHECK(rc == SQLITE_OK) << "a statement outlived the engine: " << rc;
}

Status Engine::Configure(const Storage& storage, const std::string& path, size_t cache_bytes) {
  RETURN_IF_ERROR(OpenWriteConnection(storage, path, vfs_.name(), cache_bytes, &db_));
  judge_.Open(db_);
  compiler_.Open(db_);
  RETURN_IF_ERROR(InstallWriteFunctions(db_, &functions_));
  RETURN_IF_ERROR(charged_functions_.Install(db_, vfs_.name(), &budget_));
  authorizer_.Install(db_);
  RETURN_IF_ERROR(meter_.Install(db_));
  rows_.Install(db_);
  RETURN_IF_ERROR(checkpointer_.Install(db_));
  RETURN_IF_ERROR(PrepareInternal());
  return LoadCatalog();
}

Status Engine::PrepareInternal() {
  RETURN_IF_ERROR(begin_.Prepare(db_, "BEGIN IMMEDIATE"));
  RETURN_IF_ERROR(commit_.Prepare(db_, "COMMIT"));
  RETURN_IF_ERROR(savepoint_.Prepare(db_, "SAVEPOINT command"));
  RETURN_IF_ERROR(release_.Prepare(db_, "RELEASE command"));
  RETURN_IF_ERROR(free_pages_.Prepare(db_, "PRAGMA freelist_count"));
  return rollback_to_.Prepare(db_, "ROLLBACK TO command");
}

// ---- Batches ------------------------------------------------------------------------------------

Status Engine::BeginBatch() {
  schema_changed_in_batch_ = false;
  late_writes_ = false;
  rows_.BatchBegun();
  return begin_.Run();
}

Status Engine::BeginOwnWrites() {
  if (late_writes_) {
    // Full-text tables delay changes. Without the savepoint they would write them in the middle of
    // the next statement, or with the COMMIT: unreported to observers, or after the sums were
    // written.
    RETURN_IF_ERROR(savepoint_.Run());
    RETURN_IF_ERROR(release_.Run());
    late_writes_ = false;
  }
  rows_.Tell(false);
  return OkStatus();
}

Status Engine::CommitBatch() {
  RETURN_IF_ERROR(sums_.Settle());
  RETURN_IF_ERROR(sums_.Flush());
  RETURN_IF_ERROR(commit_.Run());
  exact_bounds_ = false;
  rows_.BatchCommitted();
  return OkStatus();
}

Status Engine::AbandonBatch() {
  authorizer_.SetMode(WriteAuthorizer::Mode::kInternal);
  if (!batch_lost()) sqlite3_exec(db_, "ROLLBACK", nullptr, nullptr, nullptr);
  rows_.BatchUndone();
  if (!schema_changed_in_batch_) return OkStatus();
  RETURN_IF_ERROR(ReloadSchema());
  // The batch may have created tables of Cairn's.
  if (reserved_objects_ >= 0) reserved_objects_ = catalog_.reserved_objects();
  return OkStatus();
}

// ---- Commands -----------------------------------------------------------------------------------

Status Engine::BeginCommand(const CommandContext& context, const Statement* alone) {
  context_ = context;
  EnforceForeignKeys(context.foreign_keys == ForeignKeys::kEnforced);
  result_bytes_ = 0;
  schema_changed_ = false;
  vfs_.SetTime(context.wall_ms);
  level_functions_.SetLease(context.lease_ms);
  ForgetThatMemoryRanOut();
  must_run_again_ = false;
  value_in_doubt_ = false;
  rows_counted_ = false;
  has_savepoint_ = alone == nullptr || !MayRunBare(*alone);
  // First, because full-text tables now write the changes of earlier commands of the batch, and
  // these writes count as changes and rowids of this connection.
  if (has_savepoint_) {
    RETURN_IF_ERROR(savepoint_.Run());
    late_writes_ = false;
  }
  rows_.CommandBegun();
  // changes() would report the last command, but not after a restart.
  if (has_savepoint_ && sqlite3_changes64(db_) != 0) RETURN_IF_ERROR(zero_changes_.Run());
  sqlite3_set_last_insert_rowid(db_, 0);
  functions_.Reset(db_, context.seed, /*changes_are_old=*/!has_savepoint_);
  budget_.BeginCommand(context.steps_max);
  compile_charges_.Clear();
  return OkStatus();
}

// True if the statement is a known program that writes rows, but none of a virtual table. What a new
// program may do is known only after it is compiled.
bool Engine::MayRunBare(const Statement& statement) {
  if (late_writes_) return false;
  const Program* const known = programs_.Find(statement.sql);
  return known != nullptr && !known->facts.changes_schema && !known->facts.writes.empty() &&
         !known->touches_virtual;
}

bool Engine::HasUnresolvedKeys() const {
  int unresolved = 0;
  int unused = 0;
  sqlite3_db_status(db_, SQLITE_DBSTATUS_DEFERRED_FKS, &unresolved, &unused, 0);
  return unresolved != 0;
}

Status Engine::CheckDeferred() const {
  return HasUnresolvedKeys() ? FailedPrecondition("FOREIGN KEY constraint failed") : OkStatus();
}

Status Engine::EndCommand(bool keep, Status* verdict) {
  if (value_in_doubt_) {
    exact_bounds_ = true;
    must_run_again_ = true;
    return OkStatus();
  }
  if (keep && verdict->ok() && HasUnresolvedKeys()) *verdict = CheckDeferred();
  if (!has_savepoint_) {
    // SQLite itself undoes most statements that fail, but not all: not those with OR FAIL, and not
    // some that fail for a value while they resolve conflicts by another rule.
    const bool left_rows = !verdict->ok() && rows_.rows_told() > 0 && !batch_lost();
    // Also if the batch is lost, because a doubtful answer may have led to the loss, on this node
    // only.
    must_run_again_ = left_rows || functions_.changes_in_doubt();
    if (must_run_again_) return OkStatus();
  }
  if (!keep || !verdict->ok()) return UndoCommand();
  RETURN_IF_ERROR(sums_.Settle());
  if (!budget_.Charge(sums_.TakeScanSteps())) {
    *verdict = judge_.Exhausted();
    return UndoCommand();
  }
  if (has_savepoint_) RETURN_IF_ERROR(Release(verdict));
  if (batch_lost()) return OkStatus();
  rows_.CommandKept();
  return schema_changed_ ? ReloadSchema() : OkStatus();
}

// Full-text tables write the command's changes here, and may find that they can not. The savepoint
// is then already gone, and SQLite undoes the whole transaction.
Status Engine::Release(Status* verdict) {
  Status released = release_.Run();
  if (released.ok() || !judge_.IsAtItsEnd(sqlite3_errcode(db_))) return released;
  *verdict = ErrorJudge::AtItsEnd();
  return batch_lost() ? OkStatus() : ExecInternal(db_, "ROLLBACK");
}

Status Engine::UndoCommand() {
  if (batch_lost()) return OkStatus();
  if (has_savepoint_) {
    if (schema_changed_ && !TellNewTablesOfSavepoint()) return OkStatus();
    RETURN_IF_ERROR(rollback_to_.Run());
    RETURN_IF_ERROR(release_.Run());
  }
  rows_.CommandUndone();
  // After a change of the schema in a transaction, SQLite forgets the schema at every ROLLBACK TO
  // until the end of the transaction, also at one that undoes no such change. It then also forgets
  // the connected virtual tables.
  if (schema_changed_in_batch_) RETURN_IF_ERROR(ReloadSchema());
  // The charge depends on the entry, not on the batch, because each node chooses its batches by
  // itself.
  if (schema_changed_in_entry_) budget_.Add(catalog_.steps_to_read());
  return OkStatus();
}

// ---- Statements ---------------------------------------------------------------------------------

Status Engine::Compile(const Statement& statement, Program** program, Status* verdict) {
  if (!budget_.Charge(StatementCompiler::StepsBefore(statement))) {
    *verdict = judge_.Exhausted();
    return OkStatus();
  }
  *program = programs_.Find(statement.sql);
  const CompilePrice price =
      *program != nullptr ? (*program)->text_price : catalog_.prices().Of(statement.sql);
  if (!budget_.Charge(compile_charges_.StepsOfText(statement.sql, price))) {
    *verdict = judge_.Exhausted();
    return OkStatus();
  }
  if (*program != nullptr) return OkStatus();
  Program fresh;
  fresh.text_price = price;
  RETURN_IF_ERROR(compiler_.Compile(statement, &fresh, verdict));
  if (verdict->ok()) RETURN_IF_ERROR(compiler_.FindHeld(&fresh));
  if (verdict->ok()) *program = programs_.Insert(std::move(fresh));
  return OkStatus();
}

Status Engine::Run(Program* program, const Statement& statement, StatementResult* result,
                   Status* verdict) {
  renamed_to_.clear();
  ++statements_run_;
  sqlite3_stmt* const stmt = program->stmt.get();
  if (Status refused = CheckMayRun(*program); !refused.ok()) {
    *verdict = std::move(refused);
    return OkStatus();
  }
  if (Status unbound = BindParameters(stmt, statement); !unbound.ok()) {
    const bool no_memory = (sqlite3_errcode(db_) & 0xff) == SQLITE_NOMEM;
    sqlite3_clear_bindings(stmt);
    if (no_memory) return unbound;
    *verdict = std::move(unbound);
    return OkStatus();
  }
  const ProgramFacts& facts = program->facts;
  schema_changed_in_batch_ = schema_changed_in_batch_ || facts.changes_schema;
  schema_changed_ = schema_changed_ || facts.changes_schema;
  late_writes_ = late_writes_ || program->touches_virtual || facts.changes_schema;
  if (facts.changes_schema) {
    schema_changed_in_entry_ = true;
    expansions_before_ = catalog_.expansions().most();
    schema_price_before_ = catalog_.prices().total();
    generated_before_ = catalog_.columns().generated();
    ASSIGN_OR_RETURN(free_pages_before_, FreePages());
  }

  RETURN_IF_ERROR(ChargeBefore(statement, *program));
  ASSIGN_OR_RETURN(const SearchCosts searches, CostsOfSearches(db_, catalog_, *program, statement,
                                                               budget_.bytes_beside_virtual()));
  budget_.Charge(searches.once + searches.per_step * kStepsPerSearchLook);
  if (budget_.exhausted()) {
    sqlite3_clear_bindings(stmt);
    *verdict = judge_.Exhausted();
    return OkStatus();
  }
  const size_t given_bytes = program->held.given ? GivenBytes(*program, statement) : 0;
  RETURN_IF_ERROR(BoundValues(statement, program));
  functions_.BeginStatement(rows_counted_ || !facts.sees_changes_first, rows_.row_inserted());
  rows_.BeginStatement(&facts);
  judge_.BeginStatement();
  meter_.Begin(*program, given_bytes, searches.per_step);
  authorizer_.SetMode(WriteAuthorizer::Mode::kRunning);
  Status trouble = Step(program, result, verdict);
  if (trouble.ok() && verdict->ok() && program->touches_virtual) {
    // The blocks that the statement has changed are part of its work.
    const int rc = level_functions_.FlushTimeSeries();
    if (rc != SQLITE_OK) trouble = judge_.Judge(rc, "write a time series", verdict);
  }
  authorizer_.SetMode(WriteAuthorizer::Mode::kInternal);
  meter_.End();
  if (trouble.ok() && verdict->ok()) rows_.StatementEnded();
  if (!verdict->ok() && !functions_.refusal().ok()) *verdict = functions_.refusal();
  if (budget_.exhausted()) {
    *verdict = judge_.Exhausted();
    // The statement may have been stopped within a statement of a virtual table. The virtual table
    // then remembers what is undone, so it must be connected anew.
    if (program->touches_virtual) schema_changed_in_batch_ = schema_changed_in_entry_ = true;
  }
  // All nodes read all pages at the same place. The time grows with the file.
  if (judge_.read_all_pages()) budget_.TakeRest();
  sqlite3_reset(stmt);
  // The values are in `statement`, which may be destroyed before the program.
  sqlite3_clear_bindings(stmt);
  RETURN_IF_ERROR(trouble);
  value_in_doubt_ = judge_.value_too_large() && !program->value_bound_is_exact;
  if (!verdict->ok()) return OkStatus();
  return Finish(program, result, verdict);
}

Status Engine::CheckMayRun(const Program& program) const {
  if (program.commands_index && !context_.maintenance) {
    return PermissionDenied(
        "a command to a full-text table may take as long as its index is large: ask for "
        "maintenance, or give a short command as a string in VALUES");
  }
  const bool uncounted =
      std::any_of(program.searches.begin(), program.searches.end(), [](const IndexSearch& search) {
        return search.kind == IndexSearch::Kind::kUncounted || !search.given;
      });
  if (uncounted && !context_.maintenance) {
    return PermissionDenied(
        "nothing bounds the work of this search in a full-text table: give the words of a MATCH in "
        "FTS5 as a parameter or a literal, or ask for maintenance");
  }
  const ProgramFacts& facts = program.facts;
  if (facts.changes_schema) return OkStatus();
  if (facts.asks_for_changes && !rows_counted_) return NoChangesBefore();
  if (facts.asks_for_rowid && !rows_.row_inserted()) return NoRowidBefore();
  return OkStatus();
}

// The exact bound costs as much as compiling the program, so it is computed only if the quick bound
// is not enough. What a virtual table does with a value that is too large is not known.
Status Engine::BoundValues(const Statement& statement, Program* program) {
  if (program->value_bound_is_exact) return OkStatus();
  if (program->facts.sees_changes) {
    // EXPLAIN sets SQLite's changes() to 0, and only a node that does not know the program needs
    // EXPLAIN. On another node changes() would still return the right number.
    program->value_bytes_max = kValueBytesWithChanges;
    program->value_bound_is_exact = true;
    return OkStatus();
  }
  if (program->value_bytes_max == 0) {
    program->value_bytes_max = QuickValueBound(program->stmt.get());
  }
  if (!exact_bounds_ && !program->touches_virtual &&
      std::max(LargestValueBytes(statement), program->blob_literal_bytes) <=
          static_cast<size_t>(program->value_bytes_max)) {
    return OkStatus();
  }
  const FlatteningAllowed flattening(db_, program->may_flatten, catalog_.columns().may_flatten());
  ASSIGN_OR_RETURN(program->value_bytes_max, ValueBound(db_, program->sql));
  program->value_bound_is_exact = true;
  return OkStatus();
}

// Charges the costs that are known before the statement runs. A DROP that costs too much is refused
// before it frees a page; it is charged when the pages are free.
Result<uint64_t> Engine::FreePages() {
  ASSIGN_OR_RETURN(const bool row, free_pages_.Next());
  const uint64_t pages = row ? free_pages_.Uint(0) : 0;
  free_pages_.Reset();
  return pages;
}

Status Engine::Step(Program* program, StatementResult* result, Status* verdict) {
  for (;;) {
    const int rc = meter_.literal_too_long() ? SQLITE_TOOBIG : meter_.Step(*program);
    if (rc == SQLITE_ROW) {
      RETURN_IF_ERROR(TakeRow(program, result, verdict));
      if (verdict->ok()) continue;
      meter_.LiftLimit();
      return OkStatus();
    }
    if (meter_.literal_too_long()) {
      meter_.LiftLimit();
      *verdict = LiteralTooLong();
      return OkStatus();
    }
    if (rc != SQLITE_DONE) return judge_.Judge(rc, "run", verdict);
    if (rows_.wrote_refused_row()) *verdict = rows_.RowRefusal();
    return OkStatus();
  }
}

Status Engine::TakeRow(Program* program, StatementResult* result, Status* verdict) {
  sqlite3_stmt* const stmt = program->stmt.get();
  const int columns = sqlite3_data_count(stmt);
  Row row;
  row.reserve(static_cast<size_t>(columns));
  for (int i = 0; i < columns; ++i) {
    result_bytes_ += sizeof(Value);
    const int type = sqlite3_column_type(stmt, i);
    if (type == SQLITE_TEXT || type == SQLITE_BLOB) {
      result_bytes_ += static_cast<size_t>(sqlite3_column_bytes(stmt, i));
    }
    if (result_bytes_ > kResultRowsBytesMax) {
      *verdict = RowsTooLarge();
      return OkStatus();
    }
    row.push_back(ColumnValue(stmt, i));
  }
  result->rows.push_back(std::move(row));
  return OkStatus();
}

Status Engine::Finish(Program* program, StatementResult* result, Status* verdict) {
  if (!budget_.ChargeBytes(program->columns_bytes)) {
    *verdict = judge_.Exhausted();
    return OkStatus();
  }
  result_bytes_ += program->columns_bytes;
  if (result_bytes_ > kResultRowsBytesMax) {
    *verdict = RowsTooLarge();
    return OkStatus();
  }
  result->columns = program->columns;
  result->last_insert_id = sqlite3_last_insert_rowid(db_);
  if (!program->facts.changes_schema) {
    const bool writes = !program->facts.writes.empty() || program->facts.writes_sequence;
    result->rows_affected = writes ? sqlite3_changes64(db_) : 0;
    rows_counted_ = rows_counted_ || writes;
    return OkStatus();
  }
  const ProgramFacts facts = program->facts;  // the program goes
  return FinishSchemaChange(facts, verdict);
}

}  // namespace cairn::state_machine
