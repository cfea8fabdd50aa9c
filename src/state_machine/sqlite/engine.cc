#include "state_machine/sqlite/engine.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <utility>

#include "base/check.h"
#include "state_machine/sqlite/sql_scan.h"

namespace cairn::state_machine {
namespace {

constexpr int kSchemaBytesMax = 256 << 20;
constexpr int kBusyTimeoutMs = 5000;

// The limits are part of the database's meaning: a value that one node takes, all must take.
struct Limit {
  int id;
  int value;
};
constexpr Limit kLimits[] = {
    {SQLITE_LIMIT_LENGTH, kValueBytesMax},
    // Not that of a client's text, which CheckSqlText bounds: the text of a table that ALTER TABLE
    // or CREATE TABLE AS made may be longer, and so may the statement that reads all its columns.
    // They must be read by every node, or none opens the database again.
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
    // All that is in the schema passed the authorizer, and what must not be called fails when it is
    // (write_functions.h). Not trusted, SQLite would refuse the JSON functions in indexes, CHECKs
    // and generated columns, and FTS5 tables in triggers, which is how its manual says to keep
    // them.
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
    // Plans that do not depend on the first values a statement was bound to.
    {SQLITE_DBCONFIG_ENABLE_QPSG, 1},
};

// Closing the last connection would move the WAL into the file by itself, so that the file would
// say more than the last Checkpoint answered for.
constexpr Setting kNoCheckpointOnClose = {SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1};

Status SetConfig(sqlite3* db, const Setting& setting) {
  int now = -1;
  const int rc = sqlite3_db_config(db, setting.id, setting.value, &now);
  if (rc != SQLITE_OK) return SqliteTrouble(db, rc, "sqlite3_db_config");
  CHECK(now == setting.value) << "setting " << setting.id << " is " << now;
  return OkStatus();
}

// A failure that the state of the database and the statement alone decide.
Status Verdict(int rc, const char* message) {
  switch (rc & 0xff) {
    case SQLITE_CONSTRAINT:
      switch (rc) {
        case SQLITE_CONSTRAINT_UNIQUE:
        case SQLITE_CONSTRAINT_PRIMARYKEY:
        case SQLITE_CONSTRAINT_ROWID: return AlreadyExists(message);
        default: return FailedPrecondition(message);
      }
    case SQLITE_TOOBIG: return ResourceExhausted(message);
    case SQLITE_AUTH: return PermissionDenied(message);
    // Only this connection's own statements can lock one another here: a virtual table written
    // while the same statement scans it.
    case SQLITE_LOCKED:
    case SQLITE_CORRUPT: return FailedPrecondition(message);
    default: return InvalidArgument(message);
  }
}

Status RowsTooLarge() {
  return ResourceExhausted("the rows of RETURNING have more than " +
                           std::to_string(kResultRowsBytesMax) + " bytes");
}

Status Exhausted(uint64_t steps_max) {
  return ResourceExhausted(
      "the command needs more than " + std::to_string(steps_max) +
      " steps of work, which is the limit; do it in slices, or as maintenance");
}

// Of what is given with it. It is compiled on a node that does not know it, and counts so on all.
uint64_t StepsBefore(const Statement& statement) {
  size_t bytes = 0;
  const auto add = [&bytes](const Value& value) {
    if (const auto* text = std::get_if<std::string>(&value)) bytes += text->size();
    if (const auto* blob = std::get_if<Blob>(&value)) bytes += blob->bytes.size();
  };
  for (const Value& value : statement.positional) add(value);
  for (const NamedValue& named : statement.named) add(named.value);
  const size_t values = statement.positional.size() + statement.named.size();
  return kStepsPerStatement + statement.sql.size() + values + bytes / kBytesPerStep;
}

Status AtItsEnd() {
  return FailedPrecondition(
      "an AUTOINCREMENT sequence, or the segments of a full-text index, have come to their end");
}

bool IsVerdict(int rc) {
  switch (rc & 0xff) {
    case SQLITE_ERROR:
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
    case SQLITE_TOOBIG:
    case SQLITE_RANGE:
    case SQLITE_AUTH:
    case SQLITE_LOCKED: return true;
    // What the rows say, not the pages: a full-text index told of content it never had, or a
    // sqlite_sequence of the wrong form. Clients can bring both about, on all nodes alike.
    case SQLITE_CORRUPT: return rc == SQLITE_CORRUPT_VTAB || rc == SQLITE_CORRUPT_SEQUENCE;
    default: return false;
  }
}

// SQLite would let everyone read a file that it makes; its WAL and shared memory get the mode of
// the file. Exclusive: to close one that exists would release this process's locks on it.
void MakePrivateFile(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd >= 0) ::close(fd);  // else SQLite says what is wrong, if anything is
}

}  // namespace

// ---- Opening ------------------------------------------------------------------------------------

Result<std::unique_ptr<Engine>> Engine::Open(const Storage& storage, const std::string& path,
                                             size_t cache_bytes) {
  UseUtcAsLocalTime();
  if (storage.vfs == nullptr) MakePrivateFile(path);
  std::unique_ptr<Engine> engine(new Engine(storage.vfs));
  Status status = engine->Configure(path, cache_bytes);
  if (!status.ok()) return std::move(status).Prefixed("open " + path);
  return engine;
}

Engine::~Engine() {
  programs_.Clear();
  sums_.Close();
  for (InternalStatement* each :
       {&begin_, &commit_, &savepoint_, &release_, &rollback_to_, &zero_changes_}) {
    each->Finalize();
  }
  const int rc = sqlite3_close(db_);
  CHECK(rc == SQLITE_OK) << "a statement outlived the engine: " << rc;
}

Status Engine::Configure(const std::string& path, size_t cache_bytes) {
  int rc = sqlite3_open_v2(path.c_str(), &db_,
                           SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                           vfs_.name());
  if (rc != SQLITE_OK) return SqliteTrouble(db_, rc, "open");
  sqlite3_extended_result_codes(db_, 1);
  sqlite3_busy_timeout(db_, kBusyTimeoutMs);
  for (const Limit& limit : kLimits) sqlite3_limit(db_, limit.id, limit.value);
  for (const Setting& setting : kSettings) RETURN_IF_ERROR(SetConfig(db_, setting));
  RETURN_IF_ERROR(SetConfig(db_, kNoCheckpointOnClose));
  const std::string pragmas =
      "PRAGMA encoding = 'UTF-8'; PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;"
      "PRAGMA synchronous = NORMAL; PRAGMA recursive_triggers = OFF; PRAGMA secure_delete = OFF;"
      "PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -" +
      std::to_string(cache_bytes / 1024 + 1);
  RETURN_IF_ERROR(ExecInternal(db_, pragmas.c_str()));
  InternalStatement mode;
  RETURN_IF_ERROR(mode.Prepare(db_, "PRAGMA journal_mode"));
  ASSIGN_OR_RETURN(bool row, mode.Next());
  if (!row || mode.Bytes(0) != "wal") return Internal("the file system does not allow WAL mode");
  mode.Finalize();
  RETURN_IF_ERROR(mode.Prepare(db_, "PRAGMA page_size"));
  ASSIGN_OR_RETURN(row, mode.Next());
  if (row) page_bytes_ = mode.Uint(0);
  mode.Finalize();

  RETURN_IF_ERROR(InstallWriteFunctions(db_, &functions_));
  RETURN_IF_ERROR(charged_functions_.Install(db_, vfs_.name(), &budget_));
  authorizer_.Install(db_);
  sqlite3_progress_handler(db_, kStepsPerLook, &OnProgress, this);
  RETURN_IF_ERROR(step_depth_.Measure(db_));
  rows_.Install(db_);
  sqlite3_wal_hook(db_, &OnWal, this);
  RETURN_IF_ERROR(PrepareInternal());
  return LoadCatalog();
}

Status Engine::PrepareInternal() {
  RETURN_IF_ERROR(begin_.Prepare(db_, "BEGIN IMMEDIATE"));
  RETURN_IF_ERROR(commit_.Prepare(db_, "COMMIT"));
  RETURN_IF_ERROR(savepoint_.Prepare(db_, "SAVEPOINT command"));
  RETURN_IF_ERROR(release_.Prepare(db_, "RELEASE command"));
  return rollback_to_.Prepare(db_, "ROLLBACK TO command");
}

Status Engine::LoadCatalog() {
  RETURN_IF_ERROR(catalog_.Load(db_));
  // SQLite connects a virtual table when a statement first names it, and the table's own statements
  // are then compiled in the middle of that one, where the authorizer cannot tell them apart: a
  // fresh node would see them, and a warm one not.
  authorizer_.SetMode(WriteAuthorizer::Mode::kRunning);
  for (const std::string& name : catalog_.VirtualTables()) {
    char* const sql = sqlite3_mprintf("SELECT 1 FROM main.\"%w\"", name.c_str());
    sqlite3_stmt* stmt = nullptr;
    const int rc = sqlite3_prepare_v2(db_, sql, -1, &stmt, nullptr);
    sqlite3_finalize(stmt);
    sqlite3_free(sql);
    // One that cannot be connected fails again, as a result, when a client's statement uses it. But
    // a read that failed has ended the transaction, and what was done in it.
    if (rc != SQLITE_OK && !IsVerdict(rc)) {
      authorizer_.SetMode(WriteAuthorizer::Mode::kInternal);
      return SqliteTrouble(db_, rc, "connect " + name);
    }
  }
  authorizer_.SetMode(WriteAuthorizer::Mode::kInternal);
  return OkStatus();
}

Status Engine::FixReservedObjects() {
  RETURN_IF_ERROR(LoadCatalog());
  reserved_objects_ = catalog_.reserved_objects();
  return zero_changes_.Prepare(db_, "DELETE FROM _cairn_state WHERE 0");
}

// ---- Batches ------------------------------------------------------------------------------------

Status Engine::BeginBatch() {
  schema_changed_in_batch_ = false;
  rows_.BatchBegun();
  return begin_.Run();
}

Status Engine::BeginOwnWrites() {
  if (catalog_.has_virtual_tables()) {
    // Full-text tables hold changes back, and would write them in the middle of the next statement
    // or with the COMMIT: unheard, or behind the sums.
    RETURN_IF_ERROR(savepoint_.Run());
    RETURN_IF_ERROR(release_.Run());
  }
  rows_.Tell(false);
  return OkStatus();
}

Status Engine::CommitBatch() {
  RETURN_IF_ERROR(sums_.Settle());
  RETURN_IF_ERROR(sums_.Flush());
  RETURN_IF_ERROR(commit_.Run());
  rows_.BatchCommitted();
  return OkStatus();
}

Status Engine::AbandonBatch() {
  authorizer_.SetMode(WriteAuthorizer::Mode::kInternal);
  if (!batch_lost()) sqlite3_exec(db_, "ROLLBACK", nullptr, nullptr, nullptr);
  rows_.BatchUndone();
  return schema_changed_in_batch_ ? ReloadSchema() : OkStatus();
}

// ---- Commands -----------------------------------------------------------------------------------

Status Engine::BeginCommand(const CommandContext& context, const Statement* alone) {
  context_ = context;
  result_bytes_ = 0;
  schema_changed_ = false;
  vfs_.SetTime(context.wall_ms);
  ForgetThatMemoryRanOut();
  needs_savepoint_ = false;
  has_savepoint_ = alone == nullptr || !MayRunBare(*alone);
  // First: full-text tables then write down what commands before, in the same batch, gave them, and
  // that counts as changes and rowids of this connection.
  if (has_savepoint_) RETURN_IF_ERROR(savepoint_.Run());
  rows_.CommandBegun();
  // changes() would tell of the last command, but not after a restart.
  if (has_savepoint_ && sqlite3_changes64(db_) != 0) RETURN_IF_ERROR(zero_changes_.Run());
  sqlite3_set_last_insert_rowid(db_, 0);
  functions_.Reset(db_, context.seed, /*changes_are_old=*/!has_savepoint_);
  budget_.BeginCommand(context.steps_max);
  return OkStatus();
}

// One that writes rows, and is known: what a new one may do is seen when it is compiled.
bool Engine::MayRunBare(const Statement& statement) {
  if (catalog_.has_virtual_tables()) return false;
  const Program* const known = programs_.Find(statement.sql);
  return known != nullptr && !known->facts.changes_schema && !known->facts.writes.empty();
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
  if (keep && verdict->ok() && HasUnresolvedKeys()) *verdict = CheckDeferred();
  if (!has_savepoint_) {
    // SQLite itself undoes most statements that fail, but not all: those OR FAIL, and some that
    // fail for a value while they resolve conflicts by another rule.
    const bool left_rows = !verdict->ok() && rows_.rows_told() > 0 && !batch_lost();
    // Also if the batch is lost: what was in doubt may have led to that, and only on this node.
    needs_savepoint_ = left_rows || functions_.changes_in_doubt();
    if (needs_savepoint_) return OkStatus();
  }
  if (!keep || !verdict->ok()) return UndoCommand();
  RETURN_IF_ERROR(sums_.Settle());
  if (!budget_.Charge(sums_.TakeScanSteps())) {
    *verdict = Exhausted(context_.steps_max);
    return UndoCommand();
  }
  if (has_savepoint_) RETURN_IF_ERROR(Release(verdict));
  if (batch_lost()) return OkStatus();
  rows_.CommandKept();
  return schema_changed_ ? ReloadSchema() : OkStatus();
}

// Full-text tables write down here what the command gave them, and may find that they can not. The
// savepoint is gone by then, and SQLite undoes the whole transaction.
Status Engine::Release(Status* verdict) {
  Status released = release_.Run();
  if (released.ok() || !IsAtItsEnd(sqlite3_errcode(db_))) return released;
  *verdict = AtItsEnd();
  return batch_lost() ? OkStatus() : ExecInternal(db_, "ROLLBACK");
}

Status Engine::UndoCommand() {
  if (batch_lost()) return OkStatus();
  if (has_savepoint_) {
    RETURN_IF_ERROR(rollback_to_.Run());
    RETURN_IF_ERROR(release_.Run());
  }
  rows_.CommandUndone();
  // Once the schema was changed in a transaction, SQLite forgets it at every ROLLBACK TO until the
  // end, also at one that undoes nothing of the change; and with it the connected virtual tables.
  return schema_changed_in_batch_ ? ReloadSchema() : OkStatus();
}

// ---- Compiling ----------------------------------------------------------------------------------

Status Engine::Compile(const Statement& statement, Program** program, Status* verdict) {
  if (!budget_.Charge(StepsBefore(statement))) {
    *verdict = Exhausted(context_.steps_max);
    return OkStatus();
  }
  *program = programs_.Find(statement.sql);
  if (*program != nullptr) return OkStatus();
  *verdict = CheckSqlText(statement.sql);
  if (!verdict->ok()) return OkStatus();
  Program fresh;
  RETURN_IF_ERROR(CompileOnly(statement, &fresh, verdict));
  if (!verdict->ok()) return OkStatus();
  JudgeCost(statement, &fresh);
  RETURN_IF_ERROR(CheckProgram(fresh, verdict));
  if (!verdict->ok()) return OkStatus();
  NoteIndirectReads(&fresh.facts);
  sqlite3_stmt* const stmt = fresh.stmt.get();
  for (int i = 0; i < sqlite3_column_count(stmt); ++i) {
    const char* name = sqlite3_column_name(stmt, i);
    const char* type = sqlite3_column_decltype(stmt, i);
    fresh.columns.push_back({name == nullptr ? "" : name, type == nullptr ? "" : type});
    fresh.columns_bytes += fresh.columns.back().name.size() + fresh.columns.back().decl_type.size();
    if (fresh.columns_bytes > kResultRowsBytesMax) {
      // A column that is returned 2000 times, with a type as long as a statement.
      *verdict = RowsTooLarge();
      return OkStatus();
    }
  }
  *program = programs_.Insert(std::move(fresh));
  return OkStatus();
}

void Engine::JudgeCost(const Statement& statement, Program* program) const {
  const ProgramFacts& facts = program->facts;
  const auto has_virtual = [this](const std::set<std::string>& names) {
    return std::any_of(names.begin(), names.end(),
                       [this](const std::string& name) { return catalog_.IsVirtual(name); });
  };
  const bool reads_virtual = has_virtual(facts.reads);
  program->touches_virtual = reads_virtual || has_virtual(facts.writes);
  if (reads_virtual) {
    program->price = kPriceOfVirtualReads;
  } else if (facts.reads.contains("json_each") || facts.reads.contains("json_tree")) {
    program->price = kPriceOfJsonTables;
  }
  program->keep = !catalog_.has_long_literal() &&
                  !HasLongLiteral(statement.sql, static_cast<size_t>(kValueBytesAlways));
}

Status Engine::CompileOnly(const Statement& statement, Program* program, Status* verdict) {
  // A command that fails leaves nothing in any case, and to end the transaction would take all
  // commands before it along.
  const std::string sql = WithoutRollback(statement.sql);
  const char* const end = sql.data() + sql.size();
  authorizer_.StartCompiling();
  sqlite3_stmt* raw = nullptr;
  const char* tail = nullptr;
  int rc = sqlite3_prepare_v3(db_, sql.data(), static_cast<int>(sql.size()),
                              SQLITE_PREPARE_PERSISTENT, &raw, &tail);
  program->stmt.reset(raw);
  program->sql = statement.sql;
  program->facts = authorizer_.facts();
  const Status refusal = authorizer_.refusal();
  sqlite3_stmt* second = nullptr;
  while (rc == SQLITE_OK && second == nullptr && tail < end) {
    rc = sqlite3_prepare_v3(db_, tail, static_cast<int>(end - tail), 0, &second, &tail);
  }
  sqlite3_finalize(second);
  authorizer_.SetMode(WriteAuthorizer::Mode::kInternal);
  if (!refusal.ok()) {
    *verdict = refusal;
  } else if (program->stmt != nullptr && (second != nullptr || rc == SQLITE_ERROR)) {
    *verdict = InvalidArgument("the text holds more than one statement");
  } else if (rc != SQLITE_OK) {
    return Judge(rc, "compile", verdict);
  } else if (program->stmt == nullptr) {
    *verdict = InvalidArgument("the text holds no statement");
  }
  return OkStatus();
}

// SQLite does not report what virtual tables read by statements of their own, nor that their
// storage is theirs. Two-phase commit must know both, to hold what a prepared statement saw.
void Engine::NoteIndirectReads(ProgramFacts* facts) {
  std::vector<std::string> todo(facts->reads.begin(), facts->reads.end());
  todo.insert(todo.end(), facts->writes.begin(), facts->writes.end());
  while (!todo.empty()) {
    const std::string name = std::move(todo.back());
    todo.pop_back();
    std::vector<std::string> found = catalog_.NamedBy(name);
    if (std::string owner = catalog_.OwnerOfShadow(name); !owner.empty()) {
      found.push_back(std::move(owner));
    }
    for (const std::string& each : found) {
      if (!facts->reads.insert(each).second) continue;
      todo.push_back(each);
      if (!catalog_.IsView(each)) continue;
      for (const std::string& behind : ReadsOfView(each)) {
        if (facts->reads.insert(behind).second) todo.push_back(behind);
      }
    }
  }
}

std::set<std::string> Engine::ReadsOfView(const std::string& name) {
  authorizer_.StartCompiling();
  // A view that does not compile cannot be read through the virtual table either.
  CompileSelectAll(name);
  authorizer_.SetMode(WriteAuthorizer::Mode::kInternal);
  return authorizer_.facts().reads;
}

int Engine::CompileSelectAll(const std::string& name) {
  char* const sql = sqlite3_mprintf("SELECT * FROM main.\"%w\"", name.c_str());
  sqlite3_stmt* stmt = nullptr;
  const int rc = sqlite3_prepare_v2(db_, sql, -1, &stmt, nullptr);
  sqlite3_finalize(stmt);
  sqlite3_free(sql);
  return rc;
}

Status Engine::CheckProgram(const Program& program, Status* verdict) {
  sqlite3_stmt* const stmt = program.stmt.get();
  if (sqlite3_stmt_isexplain(stmt) != 0 ||
      (sqlite3_stmt_readonly(stmt) != 0 && sqlite3_column_count(stmt) > 0)) {
    *verdict = InvalidArgument("this statement only reads: use Query");
  } else if (program.facts.writes_statistics && !program.facts.changes_schema) {
    *verdict = PermissionDenied("the planner's statistics are written by ANALYZE alone");
  } else if (program.touches_virtual && program.facts.recursive) {
    // Its work would be unbounded: virtual tables compile statements of their own as they need
    // them, so what they do cannot be counted alike on a fresh node and a warm one.
    *verdict = InvalidArgument("a write to or from a virtual table may not use WITH RECURSIVE");
  } else if (program.facts.reads_rank) {
    for (const std::string& table : program.facts.reads) {
      if (!catalog_.IsVirtual(table)) continue;
      *verdict = PermissionDenied(
          "rank is computed with log(), whose last bits differ between "
          "nodes; a write may not read it");
    }
  }
  return OkStatus();
}

// ---- Running ------------------------------------------------------------------------------------

Status Engine::Run(Program* program, const Statement& statement, StatementResult* result,
                   Status* verdict) {
  renamed_to_.clear();
  ++statements_run_;
  sqlite3_stmt* const stmt = program->stmt.get();
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

  rows_.BeginStatement();
  read_all_pages_ = false;
  budget_.BeginStatement(stmt, program->touches_virtual, program->price);
  sqlite3_limit(db_, SQLITE_LIMIT_LENGTH, budget_.value_bytes_max());
  authorizer_.SetMode(WriteAuthorizer::Mode::kRunning);
  Status trouble = Step(program, result, verdict);
  authorizer_.SetMode(WriteAuthorizer::Mode::kInternal);
  budget_.EndStatement();
  if (budget_.exhausted()) {
    *verdict = Exhausted(context_.steps_max);
    // The statement may have been stopped within one of a virtual table, which then remembers what
    // is undone: it must be connected anew.
    if (program->touches_virtual) schema_changed_in_batch_ = true;
  }
  // All nodes do so at the same place, for as long as the file is large.
  if (read_all_pages_) budget_.TakeRest();
  sqlite3_reset(stmt);
  // The values lie in `statement`, which may die before the program does.
  sqlite3_clear_bindings(stmt);
  RETURN_IF_ERROR(trouble);
  if (!verdict->ok()) return OkStatus();
  return Finish(program, result, verdict);
}

Status Engine::Step(Program* program, StatementResult* result, Status* verdict) {
  for (;;) {
    const int rc = step_depth_.Step(program->stmt.get());
    if (rc == SQLITE_ROW) {
      RETURN_IF_ERROR(TakeRow(program, result, verdict));
      if (verdict->ok()) continue;
      sqlite3_limit(db_, SQLITE_LIMIT_LENGTH, kValueBytesMax);
      return OkStatus();
    }
    sqlite3_limit(db_, SQLITE_LIMIT_LENGTH, kValueBytesMax);
    if (rc != SQLITE_DONE) return Judge(rc, "run", verdict);
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
  result_bytes_ += program->columns_bytes;
  if (result_bytes_ > kResultRowsBytesMax) {
    *verdict = RowsTooLarge();
    return OkStatus();
  }
  result->columns = program->columns;
  result->last_insert_id = sqlite3_last_insert_rowid(db_);
  const ProgramFacts facts = program->facts.changes_schema ? program->facts : ProgramFacts();
  if (!facts.changes_schema) {
    const bool writes = !program->facts.writes.empty() || program->facts.writes_sequence;
    result->rows_affected = writes ? sqlite3_changes64(db_) : 0;
    return OkStatus();
  }
  RETURN_IF_ERROR(AfterSchemaChange(facts));
  if (!budget_.Charge(catalog_.steps_to_read() + sums_.TakeScanSteps())) {
    *verdict = Exhausted(context_.steps_max);
    return OkStatus();
  }
  if (reserved_objects_ >= 0 && catalog_.reserved_objects() != reserved_objects_) {
    // The authorizer is not told the new name in RENAME TO.
    *verdict = PermissionDenied("names that start with _cairn_ are reserved");
    return OkStatus();
  }
  RETURN_IF_ERROR(CheckReadsNothingReserved(facts, verdict));
  return verdict->ok() ? CheckForeignKeys(verdict) : OkStatus();
}

// What a client makes over Cairn's tables would fail at each use. SQLite resolves a view only when
// it is used; one that cannot be resolved yet is let pass, and refused when it is read.
Status Engine::CheckReadsNothingReserved(const ProgramFacts& facts, Status* verdict) {
  for (const std::string& table : facts.writes) {
    for (const std::string& named : catalog_.NamedBy(table)) {
      if (IsReservedName(named)) *verdict = PermissionDenied(named + " is internal to Cairn");
    }
  }
  if (facts.created_view.empty()) return OkStatus();
  authorizer_.StartInspecting();
  const int rc = CompileSelectAll(facts.created_view);
  authorizer_.SetMode(WriteAuthorizer::Mode::kInternal);
  *verdict = authorizer_.refusal();
  Status unresolved;
  return rc == SQLITE_OK || !verdict->ok() ? OkStatus() : Judge(rc, "compile a view", &unresolved);
}

// Writes to Cairn's tables would have to look after a foreign key that refers to them, and fail if
// it does not fit: on every node, and for good.
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
  RETURN_IF_ERROR(LoadCatalog());
  RETURN_IF_ERROR(sums_.FollowSchema());
  if (altered_row != 0 && catalog_.NameAt(altered_row) != facts.altered_table) {
    renamed_to_ = catalog_.NameAt(altered_row);
  }
  return OkStatus();
}

// What SQLite holds of the schema in memory depends on how it came about: estimates of tables whose
// statistics are gone, or were rolled back, and the order in which ANALYZE visits the tables. A
// node that opens the file now would choose other plans, and so other orders of rows. So after
// every change the schema is read anew; not before the command has ended, since virtual tables are
// connected anew by it, too.
Status Engine::ReloadSchema() {
  programs_.Clear();
  RETURN_IF_ERROR(ExecInternal(db_, "PRAGMA writable_schema = RESET"));
  RETURN_IF_ERROR(LoadCatalog());
  return sums_.ReadSchema();
}

Status Engine::Judge(int rc, std::string_view doing, Status* verdict) {
  const int kind = rc & 0xff;
  // A virtual table may pass the interruption of its own statement on under another name.
  if (budget_.exhausted() && (kind == SQLITE_INTERRUPT || kind == SQLITE_ABORT || IsVerdict(rc))) {
    *verdict = Exhausted(context_.steps_max);
    return OkStatus();
  }
  if (IsVerdict(rc)) {
    *verdict = Verdict(rc, sqlite3_errmsg(db_));
    return OkStatus();
  }
  if (IsAtItsEnd(kind)) {
    *verdict = AtItsEnd();
    return OkStatus();
  }
  if (rc == SQLITE_CORRUPT_INDEX || rc == SQLITE_CORRUPT) {
    ASSIGN_OR_RETURN(const bool stale, IndexMayBeStale(rc));
    if (!stale && rc == SQLITE_CORRUPT) return SqliteTrouble(db_, rc, doing);
    if (!stale) return DataLoss("an index lacks an entry (SQLite code 779)");
    read_all_pages_ = rc == SQLITE_CORRUPT;
    *verdict = FailedPrecondition(
        "an index over JSON lacks the entry of a row, or has one of no row; REINDEX mends it");
    // After it SQLite lets the transaction write no more.
    const bool ends_batch = rc == SQLITE_CORRUPT && !batch_lost();
    return ends_batch ? ExecInternal(db_, "ROLLBACK") : OkStatus();
  }
  if (kind == SQLITE_NOMEM && !MemoryRanOut()) {
    // Nor is it the memory: it was not asked. All nodes come to this at the same place.
    *verdict = ResourceExhausted("a value grew larger than SQLite can hold");
    return OkStatus();
  }
  return SqliteTrouble(db_, rc, doing);
}

// An index over json_array(x), say, sees whether x came from json() while the row is written, but
// not when it is read again. So it does not find its entry when the row goes; or, if it is a
// partial index that the row is not in any more, leaves the entry, which later leads to no row.
// SQLite calls that damage, as it calls pages that are damaged: but those it finds when it looks at
// them all.
Result<bool> Engine::IndexMayBeStale(int rc) {
  const WorkBudget::Pause pause(&budget_);  // neither is the statement's work
  InternalStatement find;
  RETURN_IF_ERROR(find.Prepare(db_,
                               "SELECT 1 FROM sqlite_schema"
                               " WHERE sql LIKE '%json%' OR sql LIKE '%subtype%'"
                               " OR sql LIKE '%strftime%'"));
  ASSIGN_OR_RETURN(const bool sees_subtypes, find.Next());
  if (!sees_subtypes || rc == SQLITE_CORRUPT_INDEX) return sees_subtypes;
  const Status sound = CheckPages(db_);
  if (sound.code() == StatusCode::kDataLoss) return false;
  RETURN_IF_ERROR(sound);
  return true;
}

// It is not the disk that is full: the same on every node. Taken for trouble, it would stop them
// all for good.
bool Engine::IsAtItsEnd(int kind) const { return kind == SQLITE_FULL && !vfs_.write_failed(); }

// ---- Hooks --------------------------------------------------------------------------------------

int Engine::OnProgress(void* self) {
  auto* const engine = static_cast<Engine*>(self);
  const bool own = engine->step_depth_.IsOwn(__builtin_frame_address(0));
  if (!engine->budget_.running()) return 0;
  const bool stop = engine->budget_.Look(own);
  sqlite3_limit(engine->db_, SQLITE_LIMIT_LENGTH, engine->budget_.value_bytes_max());
  return stop ? 1 : 0;
}

int Engine::OnWal(void* self, sqlite3* /*db*/, const char* /*schema*/, int frames) {
  auto* const engine = static_cast<Engine*>(self);
  constexpr uint64_t kFrameHeaderBytes = 24;
  engine->wal_bytes_.store(
      static_cast<uint64_t>(frames) * (engine->page_bytes_ + kFrameHeaderBytes),
      std::memory_order_relaxed);
  return SQLITE_OK;
}

// ---- The file -----------------------------------------------------------------------------------

Result<bool> Engine::Checkpoint() {
  int frames = 0;
  int moved = 0;
  const int rc =
      sqlite3_wal_checkpoint_v2(db_, nullptr, SQLITE_CHECKPOINT_PASSIVE, &frames, &moved);
  if (rc == SQLITE_BUSY) return false;
  if (rc != SQLITE_OK) return SqliteTrouble(db_, rc, "checkpoint");
  if (frames != moved) return false;
  wal_bytes_.store(0, std::memory_order_relaxed);
  return true;
}

}  // namespace cairn::state_machine
