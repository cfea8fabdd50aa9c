#include "tools/local_database.h"

#include <utility>

namespace cairn::tools {
namespace {

std::string Lower(const char* text) {
  std::string out = text == nullptr ? "" : text;
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

int Authorize(void* only_inserts, int action, const char* a, const char* /*b*/, const char* /*db*/,
              const char* /*trigger*/) {
  if (action == SQLITE_ATTACH || action == SQLITE_DETACH) return SQLITE_DENY;
  const bool rewrites = action == SQLITE_UPDATE || action == SQLITE_DELETE;
  const auto* const tables = static_cast<const std::set<std::string>*>(only_inserts);
  return rewrites && tables->contains(Lower(a)) ? SQLITE_DENY : SQLITE_OK;
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
  RETURN_IF_ERROR(
      out->Exec("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA "
                "cache_size = -65536; PRAGMA foreign_keys = OFF"));
  return out;
}

LocalDatabase::~LocalDatabase() {
  sqlite3_finalize(insert_);
  sqlite3_close_v2(db_);
}

void LocalDatabase::Guard(const std::set<std::string>* only_inserts) {
  sqlite3_set_authorizer(db_, &Authorize, const_cast<std::set<std::string>*>(only_inserts));
}

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
