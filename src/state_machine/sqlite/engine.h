// Engine: the one connection that writes. It runs clients' statements so that their effects and
// their results are the same on every node, whatever the connection did before.
//
// The engine takes a statement through batches and commands. Its parts do the rest:
//
//     write_connection     opens the file, with the settings that all nodes share
//     statement_compiler   compiles a statement; finds out what it touches and what it costs
//     program_cache        keeps compiled statements
//     work_meter           stops a statement that exhausts the command's work_budget
//     error_judge          tells a verdict from trouble
//     row_hooks            tells each changed row to the row observers; table_sums is one
//     checkpointer         moves the WAL into the file
//
// There are two kinds of failure (error_judge.h). A *verdict* is the statement's own, the same on
// all nodes: it becomes the command's result. The returned Status is this node's trouble: the
// caller abandons the batch and applies nothing more.
//
// An exhausted budget, an index entry that leads to no row, and a full-text index at its end may
// take the whole SQLite transaction down, with all commands before in it. After a verdict that is
// not OK the caller asks batch_lost(). If the batch is lost, the caller abandons it and applies it
// again without the guilty command.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <memory>
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
};

// One thread at a time, but for wal_bytes().
class Engine {
 public:
  // Opens the file or makes it. The internal tables are the caller's.
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
  // Once, when the internal tables are there: from now on no other object may get a reserved name.
  Status FixReservedObjects();
  // Once, before that and within a batch: reads the sums, or makes them.
  Status OpenSums() { return sums_.Open(db_); }
  // From now on `observer` is told of all rows, after the sums. Between batches. The observer
  // outlives the engine.
  void AddObserver(RowObserver* observer) { rows_.Add(observer); }

  // ---- A batch: one SQLite transaction
  Status BeginBatch();
  // Around the writes to Cairn's own tables at the end of a batch. Row observers are not told of
  // them, because each telling costs. No client's statement may be compiled meanwhile.
  Status BeginOwnWrites();
  void EndOwnWrites() { rows_.Tell(true); }
  // Writes the sums, and commits.
  Status CommitBatch();
  // Undoes the batch, or what is left of a lost one.
  Status AbandonBatch();
  void BeginEntry() { schema_changed_in_entry_ = false; }
  // A command of the entry has changed the schema, or began to. Each command that is undone behind it
  // costs a look through the schema, so the batch ends behind the entry.
  bool schema_changed_in_entry() const { return schema_changed_in_entry_; }
  // A command that is left out now has done so.
  void NoteSchemaChange() { schema_changed_in_entry_ = true; }
  // The command that runs has done so.
  bool schema_changed_in_command() const { return schema_changed_; }
  bool batch_lost() const { return sqlite3_get_autocommit(db_) != 0; }

  // ---- A command: one savepoint, or none
  // `alone`: the command's only statement, if the caller can apply the batch again with savepoints;
  // else null. A savepoint costs as much as a small statement, and makes SQLite copy each page that
  // changes. Most commands need none: they succeed, or fail before they change a row. EndCommand
  // finds the others.
  Status BeginCommand(const CommandContext& context, const Statement* alone);
  // Compiles a statement that writes. A Program lives until the next Compile or EndCommand.
  Status Compile(const Statement& statement, Program** program, Status* verdict);
  Status Run(Program* program, const Statement& statement, StatementResult* result,
             Status* verdict);
  // Not OK if foreign keys that may be resolved until the end of the command are not yet.
  Status CheckDeferred() const;
  // Keeps the command's effects if *verdict is OK and stays OK: a foreign key that is still
  // unresolved or a full-text index at its end makes it an error. Undoes the effects otherwise, and
  // always if `keep` is false.
  Status EndCommand(bool keep, Status* verdict);
  // The last command needed the savepoint that it did not have, and its effects are neither kept nor
  // undone; or its result is in doubt. The caller abandons the batch and gives it again with null for
  // `alone`. The command's result does not count.
  bool must_run_again() const { return must_run_again_; }

  // What the command has cost so far, in steps, and whether that is more than it may.
  const WorkBudget& budget() const { return budget_; }

  // Statements of clients that have run since the database was opened, repeated ones included.
  uint64_t statements_run() const { return statements_run_; }

  // The new name (in lower case) of the table that the last Run renamed. Empty if it renamed none.
  const std::string& renamed_to() const { return renamed_to_; }

  // ---- The file
  // Bytes of the WAL that are not known to be in the file. Thread-safe.
  uint64_t wal_bytes() const { return checkpointer_.wal_bytes(); }
  // Moves what no reader holds back from the WAL into the file, and syncs the file. True: all of
  // it.
  Result<bool> Checkpoint() { return checkpointer_.Checkpoint(); }

 private:
  explicit Engine(const char* vfs) : vfs_(vfs) { rows_.Add(&sums_); }
  Status Configure(const Storage& storage, const std::string& path, size_t cache_bytes);
  Status PrepareInternal();
  Status LoadCatalog();
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

  // Of the command that runs.
  CommandContext context_;
  bool has_savepoint_ = false;
  bool must_run_again_ = false;
  bool value_in_doubt_ = false;  // it was too large for a bound that is this node's
  bool rows_counted_ = false;    // a statement that SQLite counts the changes of has ended
  size_t result_bytes_ = 0;
  bool schema_changed_ = false;
  // Of the statement that runs.
  std::string renamed_to_;
  uint64_t free_pages_before_ = 0;
  uint64_t expansions_before_ = 0;
  uint64_t generated_before_ = 0;
  // Of the entry.
  bool schema_changed_in_entry_ = false;
  // Of the batch.
  bool schema_changed_in_batch_ = false;
  bool exact_bounds_ = false;  // until it is committed
};

}  // namespace cairn::state_machine
