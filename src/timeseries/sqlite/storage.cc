#include "timeseries/sqlite/storage.h"

#include <utility>

#include "base/check.h"
#include "base/sql_name.h"

namespace cairn::timeseries {
namespace {

constexpr size_t kIdleOfOneTextMax = 4;
constexpr size_t kIdleTextsMax = 64;

}  // namespace

OwnWork::OwnWork(sqlite3* db) : db_(db) {
  constexpr int kRowBytesMax = 16 << 20;
  length_ = sqlite3_limit(db, SQLITE_LIMIT_LENGTH, kRowBytesMax);
}

OwnWork::~OwnWork() { sqlite3_limit(db_, SQLITE_LIMIT_LENGTH, length_); }

ShadowsWritable::ShadowsWritable(sqlite3* db) : db_(db) {
  sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, -1, &defensive_);
  if (defensive_ != 0) sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 0, nullptr);
}

ShadowsWritable::~ShadowsWritable() {
  if (defensive_ != 0) sqlite3_db_config(db_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
}

PooledStatement& PooledStatement::operator=(PooledStatement&& other) noexcept {
  Release();
  storage_ = std::exchange(other.storage_, nullptr);
  sql_ = std::move(other.sql_);
  stmt_ = std::exchange(other.stmt_, nullptr);
  return *this;
}

void PooledStatement::Release() {
  if (stmt_ != nullptr) storage_->Give(sql_, std::exchange(stmt_, nullptr));
}

int PooledStatement::Run() {
  const int rc = sqlite3_step(stmt_);
  sqlite3_reset(stmt_);
  return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}

std::string_view PooledStatement::BytesAt(int column) const {
  const auto* const bytes = static_cast<const char*>(sqlite3_column_blob(stmt_, column));
  return {bytes, bytes == nullptr ? 0 : static_cast<size_t>(sqlite3_column_bytes(stmt_, column))};
}

Storage::Storage(sqlite3* db, std::string_view schema, std::string_view name,
                 const Declaration* declaration, Of of)
    : db_(db), schema_(schema), name_(name), declaration_(declaration), of_(of) {}

std::vector<const char*> Storage::Tables() const {
  if (of_ == Of::kRollup) return {"tail", "blocks"};
  return {"series", "tail", "blocks", "config"};
}

Storage::~Storage() { Clear(); }

void Storage::Clear() {
  for (auto& [sql, statements] : idle_) {
    for (sqlite3_stmt* stmt : statements) sqlite3_finalize(stmt);
  }
  idle_.clear();
}

std::string Storage::Expanded(std::string_view sql) const {
  std::string out;
  for (size_t at = 0; at < sql.size();) {
    const size_t open = sql.find('{', at);
    out += sql.substr(at, open - at);
    if (open == std::string_view::npos) break;
    const size_t close = sql.find('}', open);
    CHECK(close != std::string_view::npos) << sql;
    out += QuotedName(schema_) + "." +
           QuotedName(name_ + "_" + std::string(sql.substr(open + 1, close - open - 1)));
    at = close + 1;
  }
  return out;
}

int Storage::Exec(std::string_view sql) {
  return sqlite3_exec(db_, Expanded(sql).c_str(), nullptr, nullptr, nullptr);
}

Status Storage::CheckName(std::string_view name) {
  PooledStatement find;
  int rc = Take("SELECT s.name FROM " + QuotedName(schema_) +
                    ".sqlite_schema AS s, pragma_foreign_key_list(s.name, ?1) AS f WHERE s.type = "
                    "'table' AND lower(f.\"table\") = lower(?2)",
                &find);
  for (const char* table : Tables()) {
    const std::string full = std::string(name) + "_" + table;
    if (rc != SQLITE_OK) break;
    rc = find.Text(1, schema_).Text(2, full).Step();
    if (rc == SQLITE_ROW) {
      return InvalidArgument("a foreign key of the table " + std::string(find.BytesAt(0)) +
                             " refers to " + full + ", which is to be storage of a time series");
    }
    sqlite3_reset(find.get());
    if (rc == SQLITE_DONE) rc = SQLITE_OK;
  }
  return rc == SQLITE_OK ? OkStatus() : InvalidArgument(sqlite3_errmsg(db_));
}

int Storage::Create() {
  if (of_ == Of::kRollup) return CreatePoints();
  std::string series = "CREATE TABLE {series}(id INTEGER PRIMARY KEY";
  std::string tags;
  std::string without_case;
  for (size_t i = 0; i < declaration_->tags.size(); ++i) {
    const std::string tag = "t" + std::to_string(i);
    series += ", " + tag + " " + SqlType(declaration_->Tag(i).type) + " NOT NULL";
    tags += (i == 0 ? "" : ", ") + tag;
    without_case += (i == 0 ? "" : ", ") + tag + " COLLATE NOCASE";
  }
  if (!tags.empty()) series += ", UNIQUE(" + tags + "), UNIQUE(" + without_case + ")";
  int rc = Exec(series + ")");
  if (rc == SQLITE_OK) rc = CreatePoints();
  if (rc == SQLITE_OK) rc = Exec("CREATE TABLE {config}(k TEXT PRIMARY KEY, v) WITHOUT ROWID");
  return rc;
}

int Storage::CreatePoints() {
  std::string tail = "CREATE TABLE {tail}(series INTEGER NOT NULL, time INTEGER NOT NULL";
  for (size_t i = 0; i < declaration_->values.size(); ++i) {
    tail += ", v" + std::to_string(i) + " " + SqlType(declaration_->Value(i).type);
  }
  int rc = Exec(tail + ", PRIMARY KEY(series, time)) WITHOUT ROWID");
  if (rc == SQLITE_OK) {
    rc = Exec(
        "CREATE TABLE {blocks}(id INTEGER PRIMARY KEY, series INTEGER NOT NULL, first INTEGER NOT "
        "NULL, last INTEGER NOT NULL, points INTEGER NOT NULL, data BLOB NOT NULL, UNIQUE(series, "
        "first))");
  }
  return rc;
}

void Storage::SetName(std::string name) {
  Clear();
  name_ = std::move(name);
}

int Storage::Drop() {
  Clear();
  int rc = SQLITE_OK;
  for (const char* table : Tables()) {
    if (rc == SQLITE_OK) rc = Exec("DROP TABLE IF EXISTS {" + std::string(table) + "}");
  }
  return rc;
}

int Storage::Rename(std::string_view name) {
  Clear();
  int rc = SQLITE_OK;
  for (const char* table : Tables()) {
    if (rc != SQLITE_OK) break;
    // A name may hold braces.
    const std::string sql = Expanded("ALTER TABLE {" + std::string(table) + "} RENAME TO ") +
                            QuotedName(std::string(name) + "_" + table);
    rc = sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr);
  }
  if (rc == SQLITE_OK) name_ = name;
  return rc;
}

int Storage::Take(std::string_view sql, PooledStatement* statement) {
  const auto idle = idle_.find(sql);
  if (idle != idle_.end() && !idle->second.empty()) {
    *statement = PooledStatement(this, sql, idle->second.back());
    idle->second.pop_back();
    return SQLITE_OK;
  }
  // The texts depend on the columns that queries want, so there may be any number of them.
  if (idle_.size() >= kIdleTextsMax) Clear();
  sqlite3_stmt* stmt = nullptr;
  const std::string text = Expanded(sql);
  const int rc = sqlite3_prepare_v3(db_, text.c_str(), static_cast<int>(text.size()),
                                    SQLITE_PREPARE_PERSISTENT, &stmt, nullptr);
  if (rc == SQLITE_OK) *statement = PooledStatement(this, sql, stmt);
  return rc;
}

void Storage::Give(const std::string& sql, sqlite3_stmt* stmt) {
  sqlite3_reset(stmt);
  sqlite3_clear_bindings(stmt);
  std::vector<sqlite3_stmt*>& idle = idle_[sql];
  if (idle.size() < kIdleOfOneTextMax) {
    idle.push_back(stmt);
  } else {
    sqlite3_finalize(stmt);
  }
}

}  // namespace cairn::timeseries
