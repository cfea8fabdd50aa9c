#include "tools/local_database.h"

#include <utility>

#include "vectors/functions.h"
#include "vectors/index_function.h"
#include "vectors/top_k.h"

namespace cairn::tools {
namespace {

std::string Lower(const char* text) {
  std::string out = text == nullptr ? "" : text;
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

// The table that the action does something with, other than INSERT; null: none.
const char* TouchedTable(int action, const char* a, const char* b) {
  switch (action) {
    case SQLITE_READ:
    case SQLITE_UPDATE:
    case SQLITE_DELETE:
    case SQLITE_DROP_TABLE: return a;
    case SQLITE_ALTER_TABLE:
    case SQLITE_CREATE_INDEX:
    case SQLITE_CREATE_TRIGGER: return b;
    default: return nullptr;
  }
}

// A temporary object that acts on others, or is one that no dump needs.
bool IsTemporary(int action, const char* db) {
  switch (action) {
    case SQLITE_CREATE_TEMP_TRIGGER:
    case SQLITE_CREATE_TEMP_VIEW: return true;
    case SQLITE_CREATE_VTABLE: return Lower(db) == "temp";
    default: return false;
  }
}

// A setting of the connection takes effect when its PRAGMA is compiled. Those of the file count, and
// modules read some without a value.
bool MayRunPragma(const char* name, const char* value) {
  const std::string lower = Lower(name);
  return value == nullptr || lower == "writable_schema" || lower == "user_version" ||
         lower == "application_id";
}

Value ValueAt(sqlite3_stmt* stmt, int column) {
  switch (sqlite3_column_type(stmt, column)) {
    case SQLITE_INTEGER: return sqlite3_column_int64(stmt, column);
    case SQLITE_FLOAT: return sqlite3_column_double(stmt, column);
    case SQLITE_TEXT: {
      const auto* const text = reinterpret_cast<const char*>(sqlite3_column_text(stmt, column));
      return std::string(text, static_cast<size_t>(sqlite3_column_bytes(stmt, column)));
    }
    case SQLITE_BLOB: {
      const auto* const bytes = static_cast<const char*>(sqlite3_column_blob(stmt, column));
      const auto size = static_cast<size_t>(sqlite3_column_bytes(stmt, column));
      return Blob{size == 0 ? std::string() : std::string(bytes, size)};
    }
    default: return std::monostate();
  }
}

struct Binder {
  sqlite3_stmt* stmt;
  int place;
  void operator()(std::monostate) const { sqlite3_bind_null(stmt, place); }
  void operator()(int64_t value) const { sqlite3_bind_int64(stmt, place, value); }
  void operator()(double value) const { sqlite3_bind_double(stmt, place, value); }
  void operator()(const std::string& value) const {
    sqlite3_bind_text64(stmt, place, value.data(), value.size(), SQLITE_STATIC, SQLITE_UTF8);
  }
  void operator()(const Blob& value) const {
    sqlite3_bind_blob64(stmt, place, value.bytes.data(), value.bytes.size(), SQLITE_STATIC);
  }
};

}  // namespace

Result<std::unique_ptr<LocalDatabase>> LocalDatabase::OpenFile(const std::string& path) {
  sqlite3* db = nullptr;
  const int rc = sqlite3_open_v2(path.c_str(), &db, SQLITE_OPEN_READONLY, nullptr);
  std::unique_ptr<LocalDatabase> out(new LocalDatabase(db));
  if (rc != SQLITE_OK) return Status(out->Error()).Prefixed("open " + path);
  RETURN_IF_ERROR(out->AddModules(/*writes=*/false));
  // One moment of the file, whoever writes to it.
  if (Status bad = out->Exec("BEGIN; SELECT 1 FROM sqlite_schema"); !bad.ok()) {
    return std::move(bad).Prefixed(path);
  }
  return out;
}

Result<std::unique_ptr<LocalDatabase>> LocalDatabase::New() {
  sqlite3* db = nullptr;
  const int rc = sqlite3_open("", &db);
  std::unique_ptr<LocalDatabase> out(new LocalDatabase(db));
  if (rc != SQLITE_OK) return out->Error();
  RETURN_IF_ERROR(out->AddModules(/*writes=*/true));
  RETURN_IF_ERROR(
      out->Exec("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA "
                "cache_size = -65536; PRAGMA foreign_keys = OFF"));
  return out;
}

Status LocalDatabase::AddModules(bool writes) {
  time_series_ = std::make_unique<timeseries::TimeSeriesModule>(
      timeseries::ModuleOptions{.charge = nullptr, .writes = writes, .only_writer = writes});
  RETURN_IF_ERROR(time_series_->Install(db_));
  RETURN_IF_ERROR(vectors::AddFunctions(db_, /*gate=*/{}));
  RETURN_IF_ERROR(vectors::AddIndexFunction(db_, /*gate=*/{}));
  return vectors::AddTopK(db_, /*gate=*/{}, /*uncounted=*/{}, /*candidates=*/{});
}

int LocalDatabase::Authorize(void* guard, int action, const char* a, const char* b, const char* db,
                             const char* /*trigger*/) {
  auto* const state = static_cast<GuardState*>(guard);
  const auto refuse = [state](std::string why) {
    state->refusal = std::move(why);
    return SQLITE_DENY;
  };
  if (action == SQLITE_ATTACH || action == SQLITE_DETACH) {
    return refuse("a load may not open other files");
  }
  if (action == SQLITE_PRAGMA) return MayRunPragma(a, b) ? SQLITE_OK : SQLITE_IGNORE;
  if (IsTemporary(action, db)) {
    return refuse(
        "a load takes no temporary triggers, views and virtual tables: nothing of them would be in "
        "the cluster");
  }
  const char* const table = TouchedTable(action, a, b);
  if (table == nullptr || !state->only_inserts->contains(Lower(table))) return SQLITE_OK;
  return refuse("the cluster has " + std::string(table) +
                ", and a load only inserts into tables of the cluster. It may not read or alter "
                "them, nor change their rows: use `cairn shell`");
}

LocalDatabase::~LocalDatabase() {
  sqlite3_finalize(insert_);
  sqlite3_close_v2(db_);
}

void LocalDatabase::Guard(const std::set<std::string>* only_inserts) {
  guard_.only_inserts = only_inserts;
  sqlite3_set_authorizer(db_, &Authorize, &guard_);
}

void LocalDatabase::EndGuard() { sqlite3_set_authorizer(db_, nullptr, nullptr); }

Status LocalDatabase::Error() const {
  const int rc = sqlite3_extended_errcode(db_) & 0xff;
  const std::string message = sqlite3_errmsg(db_);
  if (rc == SQLITE_CONSTRAINT) return FailedPrecondition(message);
  if (rc == SQLITE_FULL || rc == SQLITE_IOERR || rc == SQLITE_CANTOPEN) return Unavailable(message);
  return InvalidArgument(message);
}

Status LocalDatabase::Exec(const std::string& sql) {
  return sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK ? OkStatus()
                                                                                : Error();
}

Result<sqlite3_stmt*> LocalDatabase::Prepare(const std::string& sql) {
  sqlite3_stmt* stmt = nullptr;
  const int rc = sqlite3_prepare_v2(db_, sql.data(), static_cast<int>(sql.size()), &stmt, nullptr);
  if (rc != SQLITE_OK) return Error();
  return stmt;
}

Status LocalDatabase::Query(const std::string& sql, const std::function<Status(const Row&)>& row) {
  ASSIGN_OR_RETURN(sqlite3_stmt* const stmt, Prepare(sql));
  Status status;
  Row values(static_cast<size_t>(sqlite3_column_count(stmt)));
  int rc = SQLITE_ROW;
  while (status.ok() && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
    for (size_t i = 0; i < values.size(); ++i) values[i] = ValueAt(stmt, static_cast<int>(i));
    status = row(values);
  }
  if (status.ok() && rc != SQLITE_DONE) status = Error();
  sqlite3_finalize(stmt);
  return status;
}

Result<std::vector<Row>> LocalDatabase::All(const std::string& sql) {
  std::vector<Row> rows;
  RETURN_IF_ERROR(Query(sql, [&rows](const Row& row) {
    rows.push_back(row);
    return OkStatus();
  }));
  return rows;
}

Status LocalDatabase::Insert(const std::string& sql, const std::vector<Value>& values) {
  if (insert_ == nullptr || sql != inserts_) {
    sqlite3_finalize(std::exchange(insert_, nullptr));
    ASSIGN_OR_RETURN(insert_, Prepare(sql));
    inserts_ = sql;
  }
  for (size_t i = 0; i < values.size(); ++i) {
    std::visit(Binder{insert_, static_cast<int>(i) + 1}, values[i]);
  }
  const int rc = sqlite3_step(insert_);
  const Status status = rc == SQLITE_DONE ? OkStatus() : Error();
  sqlite3_reset(insert_);
  return status;
}

}  // namespace cairn::tools
