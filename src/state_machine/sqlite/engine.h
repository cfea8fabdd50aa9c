// Engine: the only connection that writes. It runs clients' statements so that their effects and
// results are the same on every node, whatever the connection did before.
//
// The engine groups statements into commands and batches. Its parts do the rest:
//
//     write_connection     opens the file, with the settings that all nodes share
//     statement_compiler   compiles a statement; finds out what it touches and what it costs
//     program_cache        keeps compiled statements
//     work_meter           stops a statement that exhausts the command's work_budget
//     error_judge          tells a verdict from trouble
//     row_hooks            tells each changed row to the row observers; table_sums is one
//     checkpointer         moves the WAL into the file
//
// There are two kinds of failure (error_judge.h). A *verdict* is the statement's own failure, the
// same on all nodes; it becomes the command's result. *Trouble* is this node's failure; the
// functions below return it as their Status. After trouble the caller abandons the batch and
// applies nothing more.
//
// An exhausted budget, an index entry that leads to no row, and a full-text index at its end may
// end the whole SQLite transaction, with all earlier commands in it. After a verdict that is not OK
// the caller asks batch_lost(). If the batch is lost, the caller abandons it and applies it again
// without the command that caused the loss.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/status.h"
#include "state_machine/command.h"
#include "state_machine/sqlite/authorizer.h"
#include "state_machine/sqlite/charged_functions.h"
#include "state_machine/sqlite/checkpointer.h"
#include "state_machine/sqlite/deterministic_vfs.h"
#include "state_machine/sqlite/error_judge.h"
#include "state_machine/sqlite/internal_sql.h"
#include "state_machine/sqlite/level_functions.h"
#include "state_machine/sqlite/program_cache.h"
#include "state_machine/sqlite/row_hooks.h"
#include "state_machine/sqlite/row_observer.h"
#include "state_machine/sqlite/schema_catalog.h"
#include "state_machine/sqlite/schema_charges.h"
#include "state_machine/sqlite/statement_compiler.h"
#include "state_machine/sqlite/storage.h"
#include "state_machine/sqlite/table_sums.h"
#include "state_machine/sqlite/work_budget.h"
#include "state_machine/sqlite/work_meter.h"
#include "state_machine/sqlite/write_functions.h"

namespace cairn::state_machine {

// What a command's statements see and may do.
struct CommandContext {
  int64_t wall_ms = 0;
  uint64_t seed = 0;
  uint64_t steps_max = 0;  // of all its statements together; 0: unbounded
  bool maintenance = false;
  ForeignKeys foreign_keys = ForeignKeys::kEnforced;
  std::optional<uint64_t> lease_ms{};  // none: cairn_lease_ms() is refused
};

// One thread at a time, except for wal_bytes().
class Engine {
 public:
  // Opens or creates the file. The caller creates the internal tables.
  static Result<std::unique_ptr<Engine>> Open(const Storage& storage, const std::string& path,
                                              size_t cache_bytes);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // For Cairn's own statements.
  sqlite3* db() const { return db_; }
  const SchemaCatalog& catalog() const { return catalog_; }
  // The sums over the rows of the clients' tables, as of the last batch.
  const TableSums& sums() const { return sums_; }
  // Called once, before OpenSums: the level of the database.
  Status OpenAtLevel(uint64_t level);
  // Gives clients' statements the functions and modules of the feature level, and takes those of
  // higher levels away. Between commands.
  Status SetLevel(uint64_t level);
  // Called once, when the internal tables exist: no other object can get a reserved name
  // afterwards.
  Status FixReservedObjects();
  // Called once, before FixReservedObjects and within a batch: reads the sums, or creates them.
  Status OpenSums() { return sums_.Open(db_); }
  // Creates tables of Cairn's, as part of what an entry does. Within a batch, between commands.
  Status CreateOwnTables(const char* sql);
  // Adds an observer, which learns of all rows after the sums do. Between batches. The observer
  // must outlive the engine.
  void AddObserver(RowObserver* observer) { rows_.Add(observer); }

  // ---- A batch: one SQLite transaction
  Status BeginBatch();
  // Called around the writes to Cairn's own tables at the end of a batch. Row observers do not
  // learn of these writes, because each call of an observer costs time. No client's statement may
  // be compiled in between.
  Status BeginOwnWrites();
  void EndOwnWrites() { rows_.Tell(true); }
  // Writes the sums, and commits.
  Status CommitBatch();
  // Undoes the batch, or what is left of a lost batch.
  Status AbandonBatch();
  void BeginEntry(LogIndex index) {
    schema_changed_in_entry_ = false;
    rows_.EntryBegun(index);
  }
  // True if a command of the entry changed the schema, or began to. After a schema change, each
  // undo of a command reads the schema again, so the batch ends after this entry.
  bool schema_changed_in_entry() const { return schema_changed_in_entry_; }
  // Notes a schema change by a command that is now left out.
  void NoteSchemaChange() { schema_changed_in_entry_ = true; }
  // True if the running command changed the schema.
  bool schema_changed_in_command() const { return schema_changed_; }
  bool batch_lost() const { return sqlite3_get_autocommit(db_) != 0; }

  // ---- A command: one savepoint, or none
  // `alone`: the command's only statement, if the caller can apply the batch again with savepoints;
  // otherwise null. A savepoint costs as much as a small statement, and makes SQLite copy each page
  // that changes. Most commands need none: they succeed, or fail before they change a row.
  // EndCommand detects the commands that need one.
  Status BeginCommand(const CommandContext& context, const Statement* alone);
  // Compiles a statement that writes. A Program lives until the next Compile or EndCommand.
  Status Compile(const Statement& statement, Program** program, Status* verdict);
  Status Run(Program* program, const Statement& statement, StatementResult* result,
             Status* verdict);
  // Not OK if deferred foreign keys are still unresolved.
  Status CheckDeferred() const;
  // PRAGMA foreign_key_check, charged to the command. A row that refers to nothing is the verdict.
  Status CheckAllForeignKeys(Status* verdict);
  // Keeps the command's effects if *verdict is OK and stays OK. A foreign key that is still
  // unresolved, or a full-text index at its end, turns *verdict into an error. Otherwise, or if
  // `keep` is false, undoes the effects.
  Status EndCommand(bool keep, Status* verdict);
  // True if the result of the last command does not count: the command needed a savepoint that it
  // did not have, so its effects are neither kept nor undone, or its result is in doubt. The caller
  // abandons the batch and runs the command again with null for `alone`.
  bool must_run_again() const { return must_run_again_; }

  // What came of the last command 'expire' of a time series.
  const timeseries::ExpiryOutcome& expired() const { return level_functions_.expired(); }

  // The work of the running command so far, and its limit.
  const WorkBudget& budget() const { return budget_; }

  // Clients' statements that ran since the database was opened, repeated ones included.
  uint64_t statements_run() const { return statements_run_; }

  // The new name (in lower case) of the table that the last Run renamed. Empty if there is none.
  const std::string& renamed_to() const { return renamed_to_; }

  // ---- The file
  // Bytes of the WAL that are not known to be in the file. Thread-safe.
  uint64_t wal_bytes() const { return checkpointer_.wal_bytes(); }
  // Moves the WAL into the file, as far as no reader holds it back, and syncs the file. True: the
  // whole WAL was moved.
  Result<bool> Checkpoint() { return checkpointer_.Checkpoint(); }

 private:
  explicit Engine(const char* vfs) : vfs_(vfs) { rows_.Add(&sums_); }
  Status Configure(const Storage& storage, const std::string& path, size_t cache_bytes);
  Status PrepareInternal();
  Status LoadCatalog();
  bool TellNewTablesOfSavepoint();
  Status CheckMayRun(const Program& program) const;
  Status BoundValues(const Statement& statement, Program* program);
  Status ChargeBefore(const Statement& statement, const Program& program);
  Result<uint64_t> FreePages();
  Status Step(Program* program, StatementResult* result, Status* verdict);
  Status TakeRow(Program* program, StatementResult* result, Status* verdict);
  Status Finish(Program* program, StatementResult* result, Status* verdict);
  Status FinishSchemaChange(const ProgramFacts& facts, Status* verdict);
  Status AfterSchemaChange(const ProgramFacts& facts);
  Status CheckForeignKeys(Status* verdict);
  void EnforceForeignKeys(bool enforce);
  Status CheckForeignKeysOf(const std::string& table, Status* verdict);
  Status ReloadSchema();
  bool HasUnresolvedKeys() const;
  bool MayRunBare(const Statement& statement);
  Status Release(Status* verdict);
  Status UndoCommand();

  DeterministicVfs vfs_;
  WorkBudget budget_;
  WorkMeter meter_{&budget_};
  ErrorJudge judge_{&vfs_, &budget_};
  FunctionState functions_{&budget_};
  ChargedFunctions charged_functions_;
  LevelFunctions level_functions_{
      &budget_, [this](const timeseries::WrittenPoints& points) { rows_.OnPoints(points); }};
  WriteAuthorizer authorizer_;
  SchemaCatalog catalog_;
  StatementCompiler compiler_{&authorizer_, &catalog_, &judge_};
  ProgramCache programs_;
  CompileCharges compile_charges_;
  TableSums sums_;
  RowHooks rows_{&budget_, &catalog_};
  Checkpointer checkpointer_;
  uint64_t statements_run_ = 0;
  sqlite3* db_ = nullptr;
  InternalStatement begin_;
  InternalStatement commit_;
  InternalStatement savepoint_;
  InternalStatement release_;
  InternalStatement rollback_to_;
  InternalStatement zero_changes_;
  InternalStatement free_pages_;
  int64_t reserved_objects_ = -1;

  bool enforces_foreign_keys_ = true;
  // The running command.
  CommandContext context_;
  bool has_savepoint_ = false;
  bool must_run_again_ = false;
  bool value_in_doubt_ = false;  // a value exceeded a bound that only this node has
  bool rows_counted_ = false;    // a statement whose changes SQLite counts has ended
  size_t result_bytes_ = 0;
  bool schema_changed_ = false;
  // The running statement.
  std::string renamed_to_;
  uint64_t free_pages_before_ = 0;
  uint64_t expansions_before_ = 0;
  uint64_t generated_before_ = 0;
  uint64_t schema_price_before_ = 0;
  // The current entry.
  bool schema_changed_in_entry_ = false;
  // The current batch.
  bool schema_changed_in_batch_ = false;
  // A statement may have changed rows of a virtual table that the table writes with the next
  // savepoint.
  bool late_writes_ = false;
  bool exact_bounds_ = false;  // until the batch is committed
};

}  // namespace cairn::state_machine
