#include "state_machine/sqlite/read_connection.h"

#include <strings.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "state_machine/sqlite/column_growth.h"
#include "state_machine/sqlite/compile_price.h"
#include "state_machine/sqlite/expansions.h"
#include "state_machine/sqlite/joined_names.h"
#include "state_machine/sqlite/local_tables.h"
#include "state_machine/sqlite/near_phrases.h"
#include "state_machine/sqlite/pragmas.h"
#include "state_machine/sqlite/program_listing.h"
#include "state_machine/sqlite/schema_catalog.h"
#include "state_machine/sqlite/sql_scan.h"
#include "state_machine/sqlite/sqlite_memory.h"
#include "state_machine/sqlite/statement.h"
#include "state_machine/value_bytes.h"

namespace cairn::state_machine {
namespace {

// The bound on a value and on a row.
constexpr int kRowBytesMax = 16 << 20;
// The bound on the product of the bytes of a text and of a pattern: about a second of work.
constexpr size_t kPatternProductMax = 512 << 20;
// Some tens of microseconds.
constexpr int kOpsBetweenPolls = 1000;
constexpr int kBusyTimeoutMs = 1000;
// The memory that SQLite may allocate to compile a text. SQLite puts the body of a view or a common
// table expression in place of each of its names, and nothing else can stop it.
constexpr size_t kCompileBytesMax = 64 << 20;
constexpr size_t kCompileBytesPerByte = 256;

bool HasPrefixIgnoringCase(const char* text, std::string_view prefix) {
  return text != nullptr && strncasecmp(text, prefix.data(), prefix.size()) == 0;
}
// The bytes of a text or a blob.
std::string_view TextOf(const Value& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  const auto* blob = std::get_if<Blob>(&value);
  if (blob == nullptr) return {};
  return {reinterpret_cast<const char*>(blob->bytes.data()), blob->bytes.size()};
}
bool EqualIgnoringCase(const char* a, const char* b) {
  return a != nullptr && strcasecmp(a, b) == 0;
}

}  // namespace

// ---- ReadConnection: opening and closing --------------------------------------------------------

ReadConnection::ReadConnection(const ReadPoolOptions& options, Clock& clock)
    : options_(options),
      clock_(clock),
      client_statements_(options.statements_cached_max),
      internal_statements_(options.statements_cached_max) {}

ReadConnection::~ReadConnection() { Close(); }

Status ReadConnection::Connect() {
  sqlite3* db = nullptr;
  const int rc = sqlite3_open_v2(options_.path.c_str(), &db,
                                 SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, options_.vfs);
  Status status = rc == SQLITE_OK ? Configure(db) : StatusFromSqlite(db, rc);
  if (!status.ok()) {
    sqlite3_close(db);
    return std::move(status).Prefixed("open " + options_.path + " for reading");
  }
  MutexLock lock(handle_mutex_);
  db_ = db;
  broken_ = false;
  return OkStatus();
}

Status ReadConnection::Configure(sqlite3* db) {
  sqlite3_extended_result_codes(db, 1);
  sqlite3_busy_timeout(db, kBusyTimeoutMs);
  sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 1, nullptr);  // views of full-text tables
  // Nothing is written here. PRAGMA foreign_keys answers with the setting of writes.
  sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_FKEY, 1, nullptr);
  functions_ = std::make_unique<ReaderFunctions>([this] { return Poll(this) == 0; });
  RETURN_IF_ERROR(functions_->Install(db, options_.vfs, AtView(options_.candidates, &applied_)));
  sqlite3_limit(db, SQLITE_LIMIT_LENGTH, kRowBytesMax);
  sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
  sqlite3_limit(db, SQLITE_LIMIT_LIKE_PATTERN_LENGTH, kLikePatternBytesMax);
  const std::string pragmas = "PRAGMA query_only = ON; PRAGMA cache_size = -" +
                              std::to_string(options_.cache_bytes / 1024 + 1);
  const int rc = sqlite3_exec(db, pragmas.c_str(), nullptr, nullptr, nullptr);
  if (rc != SQLITE_OK) return StatusFromSqlite(db, rc);
  if (options_.on_connect) RETURN_IF_ERROR(options_.on_connect(db));
  sqlite3_set_authorizer(db, &Authorize, this);
  sqlite3_progress_handler(db, kOpsBetweenPolls, &Poll, this);
  page_reads_ = std::make_unique<PageReads>(db, [this] { return Poll(this) == 0; });
  return OkStatus();
}

void ReadConnection::Close() {
  client_statements_.Clear();
  internal_statements_.Clear();
  sqlite3* db = nullptr;
  {
    MutexLock lock(handle_mutex_);
    db = std::exchange(db_, nullptr);
  }
  if (db == nullptr) return;
  page_reads_.reset();
  const int rc = sqlite3_close(db);
  CHECK(rc == SQLITE_OK) << "a statement outlived its cache: " << rc;
  functions_.reset();
}

void ReadConnection::Interrupt() {
  MutexLock lock(handle_mutex_);
  if (db_ != nullptr) sqlite3_interrupt(db_);
}

bool ReadConnection::is_open() {
  MutexLock lock(handle_mutex_);
  return db_ != nullptr;
}

// ---- Transactions -------------------------------------------------------------------------------

Status ReadConnection::Run(const char* sql) {
  const QueryLimits limits;
  ASSIGN_OR_RETURN(PreparedRead * read, Prepare(sql, /*internal=*/true, limits));
  bool has_row = false;
  Status status = Step(read, /*internal=*/true, limits, clock_.SteadyNow(), &has_row);
  sqlite3_reset(read->stmt.get());
  return status;
}

Status ReadConnection::Begin() {
  // The thread that ends a view closes the handle a moment after it sets `end`. The next owner may
  // come first.
  if (db_ != nullptr && sqlite3_get_autocommit(db_) == 0) Close();
  if (db_ == nullptr) RETURN_IF_ERROR(Connect());
  longest_bytes_ = 0;
  sqlite3_limit(db_, SQLITE_LIMIT_LIKE_PATTERN_LENGTH, kLikePatternBytesMax);
  return Run("BEGIN");
}

void ReadConnection::Finish() {
  if (db_ == nullptr) return;
  // A late interrupt may hit this statement. The handle is then closed.
  const bool committed = Run("COMMIT").ok() && sqlite3_get_autocommit(db_) != 0;
  if (!committed || broken_) Close();
}

// ---- Statements ---------------------------------------------------------------------------------

Result<PreparedRead*> ReadConnection::Prepare(const std::string& sql, bool internal,
                                              const QueryLimits& limits) {
  StatementCache& cache = internal ? internal_statements_ : client_statements_;
  if (PreparedRead* read = cache.Find(sql)) return read;
  if (!internal) {
    ASSIGN_OR_RETURN(const std::optional<std::string> answer, AnswerToPragma(sql));
    if (answer.has_value()) return Prepare(*answer, internal, limits);
  }
  bool flattened = true;
  ASSIGN_OR_RETURN(StatementPtr stmt, CompileChecked(sql, internal, limits, &flattened));
  PreparedRead* const read = cache.Insert(sql, std::move(stmt));
  read->flattened = flattened;
  return read;
}

Result<std::set<std::string>> ReadConnection::TablesRead(const std::string& sql,
                                                         const QueryLimits& limits) {
  std::set<std::string> tables;
  bool flattened = true;
  tables_read_ = &tables;
  const Result<StatementPtr> compiled = CompileChecked(sql, /*internal=*/false, limits, &flattened);
  tables_read_ = nullptr;
  return compiled.ok() ? Result<std::set<std::string>>(std::move(tables)) : compiled.status();
}

Result<StatementPtr> ReadConnection::CompileChecked(const std::string& sql, bool internal,
                                                    const QueryLimits& limits, bool* flattened) {
  RETURN_IF_ERROR(CheckSqlText(sql));
  if (!internal) {
    RETURN_IF_ERROR(CheckJoinsOfQuery(sql));
    RETURN_IF_ERROR(CheckExpansions(ExpansionsOf(sql)));
    RETURN_IF_ERROR(CheckCompilePrice(sql));
  }
  internal_ = internal;
  denied_ = OkStatus();
  stopped_ = OkStatus();
  limits_ = &limits;
  started_ = clock_.SteadyNow();
  Status refusal;
  // PRAGMA table_list compiles every view within one step.
  *flattened = !HoldsWord(sql, "pragma");
  Result<StatementPtr> prepared = Compile(sql, *flattened, &refusal);
  if (*flattened && compile_too_large_) {
    // The columns of subqueries may have grown too large. If subqueries are compiled separately
    // they cannot grow, and the rows are the same.
    *flattened = false;
    prepared = Compile(sql, *flattened, &refusal);
  }
  limits_ = nullptr;
  if (!denied_.ok()) return denied_;
  if (!prepared.ok() && !refusal.ok()) return refusal;
  if (!prepared.ok() && !stopped_.ok()) return stopped_;
  if (prepared.status().code() == StatusCode::kCancelled) {
    // The view was ended while SQLite read the schema. The reason is that of the view, as in Step.
    RETURN_IF_ERROR(CheckLimits(QueryLimits(), clock_.SteadyNow()));
    return Unavailable("the query was interrupted");
  }
  if (!prepared.ok()) return prepared.status();
  sqlite3_stmt* const stmt = prepared.value().get();
  // The compiled program decides, not the authorizer: virtual tables (R-Tree) prepare INSERTs of
  // their own when they are first read. One statement that changes the schema passes as read-only,
  // DROP TRIGGER IF EXISTS without such a trigger. It has no column.
  const bool reads = sqlite3_stmt_isexplain(stmt) != 0 ||
                     (sqlite3_stmt_readonly(stmt) != 0 && sqlite3_column_count(stmt) > 0);
  if (!reads && !internal) {
    return InvalidArgument("this statement writes, and a query cannot: use Execute");
  }
  return prepared;
}

Result<StatementPtr> ReadConnection::Compile(const std::string& sql, bool flattened,
                                             Status* refusal) {
  const FlatteningAllowed flattening(db_, flattened, /*then=*/true);
  const MemoryGate gate(&AskForMemory, this);
  compile_too_large_ = false;
  compile_bytes_left_ = kCompileBytesMax + kCompileBytesPerByte * sql.size();
  Result<StatementPtr> prepared = PrepareSingle(db_, sql, SQLITE_PREPARE_PERSISTENT);
  compile_bytes_left_ = 0;
  *refusal = gate.refusal();
  return prepared;
}

Status ReadConnection::OnParameters(PreparedRead* read, const Statement& statement) {
  const bool near_in_sql = statement.sql.find("NEAR") != std::string::npos;
  size_t longest_bytes = 0;
  read->near_phrases = near_in_sql ? NearPhrases(statement.sql, /*inside=*/false) : 0;
  const auto take = [&](const Value& value) {
    longest_bytes = std::max(longest_bytes, ContentBytes(value));
    read->near_phrases = std::max(read->near_phrases, NearPhrases(TextOf(value), near_in_sql));
  };
  for (const Value& value : statement.positional) take(value);
  for (const NamedValue& named : statement.named) take(named.value);
  BoundPatterns(longest_bytes);
  if (read->near_phrases <= kNearPhrasesAlways) return OkStatus();
  ASSIGN_OR_RETURN(const bool searches, Searches(*read));
  if (!searches) read->near_phrases = 0;
  if (read->near_phrases <= kNearPhrasesMax) return OkStatus();
  return InvalidArgument("a NEAR of more than " + std::to_string(kNearPhrasesMax) +
                         " phrases takes too long: name fewer");
}

Result<bool> ReadConnection::Searches(const PreparedRead& read) {
  if (sqlite3_stmt_isexplain(read.stmt.get()) != 0) return false;
  const FlatteningAllowed flattening(db_, read.flattened, /*then=*/true);
  bool searches = false;
  RETURN_IF_ERROR(ForEachListing(db_, read.sql, [&searches](const ProgramListing& listing) {
    for (const ProgramOperation& op : listing.ops()) searches = searches || op.name == "VFilter";
  }));
  return searches;
}

Status ReadConnection::Step(PreparedRead* read, bool internal, const QueryLimits& limits,
                            SteadyTime started, bool* has_row) {
  internal_ = internal;  // a step may recompile the statement, and so ask the authorizer again
  limits_ = &limits;
  started_ = started;
  denied_ = OkStatus();
  stopped_ = OkStatus();
  near_phrases_ = read->near_phrases;
  const MemoryGate gate(&AskForMemory, this);
  const FlatteningAllowed flattening(db_, read->flattened, /*then=*/true);
  page_reads_->Attach();
  const int rc = sqlite3_step(read->stmt.get());
  limits_ = nullptr;
  near_phrases_ = 0;
  // A row may come before SQLite has noticed that it was stopped.
  if (rc == SQLITE_ROW && !stopped_.ok()) return stopped_;
  *has_row = rc == SQLITE_ROW;
  if (rc == SQLITE_ROW || rc == SQLITE_DONE) return OkStatus();
  if (!denied_.ok()) return denied_;
  if ((rc & 0xff) == SQLITE_INTERRUPT) {
    if (!stopped_.ok()) return stopped_;
    RETURN_IF_ERROR(CheckLimits(limits, started));  // interrupted before the next poll
    return Unavailable("the query was interrupted");
  }
  Status status = gate.refusal().ok() ? StatusFromSqlite(db_, rc) : gate.refusal();
  if ((rc & 0xff) == SQLITE_FULL) status = NoRoomToSort();
  broken_ = broken_ || status.code() == StatusCode::kInternal ||
            status.code() == StatusCode::kDataLoss ||
            ((rc & 0xff) == SQLITE_NOMEM && gate.refusal().ok());
  // SQLite ends the transaction of a connection that lacked memory or could not read its file, also
  // if it only reads. The next statement on the connection would see another state.
  ViewEnd none = ViewEnd::kNone;
  if (sqlite3_get_autocommit(db_) != 0) {
    end.compare_exchange_strong(none, ViewEnd::kLost, std::memory_order_acq_rel);
  }
  return status;
}

Result<Row> ReadConnection::TakeRow(PreparedRead* read, size_t bytes_max) {
  sqlite3_stmt* const stmt = read->stmt.get();
  const int columns = sqlite3_data_count(stmt);
  Row row;
  row.reserve(static_cast<size_t>(columns));
  size_t bytes = 0;
  for (int i = 0; i < columns; ++i) {
    const int type = sqlite3_column_type(stmt, i);
    if (type == SQLITE_TEXT || type == SQLITE_BLOB) {
      bytes += static_cast<size_t>(sqlite3_column_bytes(stmt, i));
    }
    if (bytes > bytes_max) {
      return ResourceExhausted("a row of the result has more than " + std::to_string(bytes_max) +
                               " bytes: select parts of it");
    }
    row.push_back(ColumnValue(stmt, i));
  }
  return row;
}

ColumnsPtr ReadConnection::Columns(PreparedRead* read) {
  sqlite3_stmt* const stmt = read->stmt.get();
  const int reprepared = sqlite3_stmt_status(stmt, SQLITE_STMTSTATUS_REPREPARE, /*resetFlg=*/0);
  if (reprepared == read->reprepared) return read->columns;
  auto columns = std::make_shared<std::vector<Column>>();
  for (int i = 0; i < sqlite3_column_count(stmt); ++i) {
    const char* name = sqlite3_column_name(stmt, i);
    const char* type = sqlite3_column_decltype(stmt, i);
    columns->push_back({name == nullptr ? "" : name, type == nullptr ? "" : type});
  }
  read->columns = std::move(columns);
  read->reprepared = reprepared;
  return read->columns;
}

// ---- What ends a query, and what it may not do --------------------------------------------------

Status ReadConnection::CheckLimits(const QueryLimits& limits, SteadyTime started) const {
  switch (end.load(std::memory_order_acquire)) {
    case ViewEnd::kNone: break;
    case ViewEnd::kDrained:
      return Unavailable("the database is being replaced by a snapshot; open another view");
    case ViewEnd::kTooOld: return Aborted("the view was held open too long; open another one");
    case ViewEnd::kLost:
      return Unavailable("an earlier query of this view has failed and ended it; ask again");
    case ViewEnd::kWalTooLarge:
      return Aborted(
          "the view was ended: reads that overlapped have kept the write-ahead log from being "
          "emptied until it was too large; ask again, for less at a time (LIMIT, a range of keys)");
  }
  const SteadyTime now = clock_.SteadyNow();
  if (now - opened > limits.age_max) {
    return Aborted("the view was held open too long; open another one");
  }
  if (limits.duration_max.count() > 0 && now - started > limits.duration_max) {
    return DeadlineExceeded("the query did not end in time");
  }
  if (limits.cancelled && limits.cancelled()) return Cancelled("the query was cancelled");
  if (limits.check) return limits.check(now);
  return OkStatus();
}

int ReadConnection::Poll(void* self) {
  auto* const c = static_cast<ReadConnection*>(self);
  if (c->limits_ == nullptr) return 0;
  if (!c->stopped_.ok()) return 1;  // SQLite has not ended yet
  c->stopped_ = c->CheckLimits(*c->limits_, c->started_);
  return c->stopped_.ok() ? 0 : 1;
}

// LIKE and GLOB are SQLite's own here: with Cairn's functions SQLite would use no index for a
// pattern that begins with letters. They take time in the product of the lengths of the text and of
// the pattern, and nothing can stop them meanwhile. So the longer the values that a transaction has
// made, the shorter a pattern may be. (SQLite reads this limit at each call, and setting it
// allocates nothing.)
void ReadConnection::BoundPatterns(size_t bytes) {
  if (bytes <= longest_bytes_ || db_ == nullptr) return;
  longest_bytes_ = bytes;
  const size_t pattern_bytes_max = kPatternProductMax / std::max<size_t>(bytes, 1);
  if (pattern_bytes_max >= kLikePatternBytesMax) return;
  sqlite3_limit(db_, SQLITE_LIMIT_LIKE_PATTERN_LENGTH, static_cast<int>(pattern_bytes_max));
}

Status ReadConnection::AskForMemory(void* self, size_t bytes) {
  auto* const c = static_cast<ReadConnection*>(self);
  c->BoundPatterns(bytes);
  if (bytes * c->near_phrases_ * c->near_phrases_ > kNearProductMax) {
    return ResourceExhausted(
        "a NEAR of so many phrases takes too long in a row that has so many words: name fewer");
  }
  if (c->compile_bytes_left_ > 0) {
    const size_t asked = std::max(bytes, kBytesBetweenAsks);
    c->compile_bytes_left_ -= std::min(asked, c->compile_bytes_left_ - 1);
    if (c->compile_bytes_left_ == 1) {
      c->compile_too_large_ = true;
      return ResourceExhausted(
          "the query is too large once each name of a common table expression, a view or a "
          "generated "
          "column stands for its text: name it fewer times");
    }
  }
  return c->internal_ || c->limits_ == nullptr ? OkStatus()
                                               : c->CheckLimits(*c->limits_, c->started_);
}

int ReadConnection::Deny(Status why) {
  denied_ = std::move(why);
  return SQLITE_DENY;
}

int ReadConnection::Authorize(void* self, int action, const char* a, const char* b, const char*,
                              const char*) {
  auto* const c = static_cast<ReadConnection*>(self);
  if (c->internal_) return SQLITE_OK;
  switch (action) {
    case SQLITE_READ:
      if (HasPrefixIgnoringCase(a, "_cairn_")) {
        return c->Deny(PermissionDenied(std::string(a) + " is internal to Cairn"));
      }
      // The raw pages hold the internal tables too.
      if (EqualIgnoringCase(a, kPagesTable.data())) {
        return c->Deny(PermissionDenied(std::string(kPagesTable) + " may not be read"));
      }
      if (c->tables_read_ != nullptr && a != nullptr) c->tables_read_->insert(LowerCase(a));
      return SQLITE_OK;
    case SQLITE_FUNCTION:
      if (EqualIgnoringCase(b, "load_extension") || EqualIgnoringCase(b, "fts3_tokenizer")) {
        return c->Deny(PermissionDenied(std::string(b) + "() may not be used"));
      }
      return SQLITE_OK;
    case SQLITE_PRAGMA:
      if (ClassifyPragma(a, b != nullptr) != PragmaUse::kRefused) return SQLITE_OK;
      return c->Deny(PermissionDenied("PRAGMA " + std::string(a) + (b != nullptr ? " = ..." : "") +
                                      " may not be used"));
    case SQLITE_TRANSACTION:
    case SQLITE_SAVEPOINT:
      return c->Deny(InvalidArgument(
          "a query cannot start or end a transaction; several queries of one view see one state"));
    case SQLITE_ATTACH:
    case SQLITE_DETACH: return c->Deny(PermissionDenied("ATTACH and DETACH may not be used"));
    default: return SQLITE_OK;
  }
}

}  // namespace cairn::state_machine
