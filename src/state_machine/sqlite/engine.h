// Engine: the one connection that writes. Runs clients' statements so that their effects and their
// results are the same on every node, whatever this connection did before.
//
// Two kinds of failure are kept apart. A *verdict* is the statement's own failure, the same on all
// nodes: it becomes the command's result. The returned Status is this node's trouble (disk, memory,
// corruption): the transaction must be abandoned and nothing more applied.
//
// OR ROLLBACK, RAISE(ROLLBACK), an exhausted budget and an index entry that leads to no row end the
// whole SQLite transaction, with all commands before in it. After a verdict that is not OK, ask
// batch_lost(): then the caller abandons the batch and applies it again, leaving the guilty command
// out.
#pragma once

#include <sqlite3.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <set>
#include <string>

#include "base/result.h"
#include "base/status.h"
#include "state_machine/command.h"
#include "state_machine/sqlite/authorizer.h"
#include "state_machine/sqlite/charged_functions.h"
#include "state_machine/sqlite/deterministic_vfs.h"
#include "state_machine/sqlite/internal_sql.h"
#include "state_machine/sqlite/program_cache.h"
#include "state_machine/sqlite/row_hooks.h"
#include "state_machine/sqlite/row_observer.h"
#include "state_machine/sqlite/schema_catalog.h"
#include "state_machine/sqlite/step_depth.h"
#include "state_machine/sqlite/storage.h"
#include "state_machine/sqlite/table_sums.h"
#include "state_machine/sqlite/work_budget.h"
#include "state_machine/sqlite/write_functions.h"

namespace cairn::state_machine {

// What a command's statements see and may do.
struct CommandContext {
  int64_t wall_ms = 0;
  uint64_t seed = 0;
  uint64_t steps_max = 0;  // of all its statements together; 0: unbounded
};

// Rows of RETURNING, over all statements of one command.
inline constexpr size_t kResultRowsBytesMax = 1 << 20;

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
  // What the rows of the clients' tables amount to, as of the last batch.
  const TableSums& sums() const { return sums_; }
  // To be called once, when the internal tables are there: from now on no other object may have a
  // reserved name.
  Status FixReservedObjects();
  // Once, before that: reads the sums, or makes them. In a batch.
  Status OpenSums() { return sums_.Open(db_); }
  // Adds one that is told of all rows from now on, after the sums. Between batches; it outlives the
  // engine.
  void AddObserver(RowObserver* observer) { rows_.Add(observer); }

  // ---- A batch: one SQLite transaction
  Status BeginBatch();
  // Around what is written to Cairn's own tables at the end of a batch: their rows have no sums,
  // and to be told of them costs. Nothing of a client's may be compiled meanwhile.
  Status BeginOwnWrites();
  void EndOwnWrites() { rows_.Tell(true); }
  // Writes the sums down, too.
  Status CommitBatch();
  // Undoes all of it, also what is left of a lost one.
  Status AbandonBatch();
  bool batch_lost() const { return sqlite3_get_autocommit(db_) != 0; }

  // ---- A command: one savepoint, or none
  // `alone`: the only statement that it will run, if the caller can do the batch over with
  // savepoints; else null. A savepoint costs as much as a small statement, and has SQLite copy each
  // page that is changed. Most commands need none: they succeed, or fail before they changed a row.
  // For the others EndCommand finds that it would have been needed.
  Status BeginCommand(const CommandContext& context, const Statement* alone);
  // Compiles a statement that writes. A Program lives until the next Compile or EndCommand.
  Status Compile(const Statement& statement, Program** program, Status* verdict);
  Status Run(Program* program, const Statement& statement, StatementResult* result,
             Status* verdict);
  // Not OK if foreign keys that may be resolved until the end of the command are not yet.
  Status CheckDeferred() const;
  // Keeps the command's effects, unless *verdict is not OK or becomes so by this (deferred foreign
  // keys, reserved names); with `keep` false they are undone in any case.
  Status EndCommand(bool keep, Status* verdict);
  // The last command ended without effects being kept or undone, or for a reason that is in doubt:
  // abandon the batch, and give it again with null for `alone`. No result of the command counts.
  bool needs_savepoint() const { return needs_savepoint_; }

  // What the command has cost so far, in steps, and whether that was more than it may.
  const WorkBudget& budget() const { return budget_; }

  // Statements of clients that were run since the database was opened, repeated ones included.
  uint64_t statements_run() const { return statements_run_; }

  // The new name (in lower case) of the table that the last Run renamed; empty if it did not.
  const std::string& renamed_to() const { return renamed_to_; }

  // ---- The file
  // Bytes of the WAL that are not known to be in the file. Thread-safe.
  uint64_t wal_bytes() const { return wal_bytes_.load(std::memory_order_relaxed); }
  // Moves what no reader holds back from the WAL into the file, and syncs it. True: all of it.
  Result<bool> Checkpoint();

 private:
  explicit Engine(const char* vfs) : vfs_(vfs) { rows_.Add(&sums_); }
  Status Configure(const std::string& path, size_t cache_bytes);
  Status PrepareInternal();
  Status LoadCatalog();
  Status CompileOnly(const Statement& statement, Program* program, Status* verdict);
  // Adds to the reads what the statement reaches through virtual tables and their storage.
  void NoteIndirectReads(ProgramFacts* facts);
  std::set<std::string> ReadsOfView(const std::string& name);
  int CompileSelectAll(const std::string& name);
  void JudgeCost(const Statement& statement, Program* program) const;
  Status CheckProgram(const Program& program, Status* verdict);
  Status Step(Program* program, StatementResult* result, Status* verdict);
  Status TakeRow(Program* program, StatementResult* result, Status* verdict);
  Status Finish(Program* program, StatementResult* result, Status* verdict);
  Status AfterSchemaChange(const ProgramFacts& facts);
  Status CheckReadsNothingReserved(const ProgramFacts& facts, Status* verdict);
  Status CheckForeignKeys(Status* verdict);
  Status ReloadSchema();
  // Sorts a result code of SQLite into a verdict or trouble.
  Status Judge(int rc, std::string_view doing, Status* verdict);
  bool IsAtItsEnd(int kind) const;
  Result<bool> IndexMayBeStale(int rc);
  bool HasUnresolvedKeys() const;
  bool MayRunBare(const Statement& statement);
  Status Release(Status* verdict);
  Status UndoCommand();
  static int OnProgress(void* self);
  static int OnWal(void* self, sqlite3* db, const char* schema, int frames);

  DeterministicVfs vfs_;
  WorkBudget budget_;
  StepDepth step_depth_;
  FunctionState functions_{&budget_};
  ChargedFunctions charged_functions_;
  WriteAuthorizer authorizer_;
  SchemaCatalog catalog_;
  ProgramCache programs_;
  TableSums sums_;
  RowHooks rows_{&budget_, &catalog_};
  uint64_t statements_run_ = 0;
  sqlite3* db_ = nullptr;
  InternalStatement begin_;
  InternalStatement commit_;
  InternalStatement savepoint_;
  InternalStatement release_;
  InternalStatement rollback_to_;
  InternalStatement zero_changes_;
  int64_t reserved_objects_ = -1;
  uint64_t page_bytes_ = 4096;
  std::atomic<uint64_t> wal_bytes_{0};

  // Of the command that runs.
  CommandContext context_;
  bool has_savepoint_ = false;
  bool needs_savepoint_ = false;
  size_t result_bytes_ = 0;
  bool schema_changed_ = false;
  // Of the statement that runs.
  std::string renamed_to_;
  bool read_all_pages_ = false;  // to judge it
  // Of the batch.
  bool schema_changed_in_batch_ = false;
};

}  // namespace cairn::state_machine
