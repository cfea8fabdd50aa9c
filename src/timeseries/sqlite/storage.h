// The tables behind a time series, and the statements that reach them
// (docs/internals/time_series_storage.md):
//
//     NAME_series    the tags of each series, and its number
//     NAME_tail      the newest points of each series, one row each
//     NAME_blocks    all older points, in blocks that do not overlap
//     NAME_config    the retention, and how far it has come
//
// Every point of the tail is newer than all blocks of its series.
//
// Functions return SQLite's codes, as SQLite's callbacks do.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/sqlite_api.h"
#include "base/status.h"
#include "timeseries/sqlite/declaration.h"

namespace cairn::timeseries {

// While it exists, values may be as long as a block. The limit of the running statement is for the
// values of that statement.
class OwnWork {
 public:
  explicit OwnWork(sqlite3* db);
  ~OwnWork();
  OwnWork(const OwnWork&) = delete;
  OwnWork& operator=(const OwnWork&) = delete;

 private:
  sqlite3* const db_;
  int length_ = 0;
};

// While it exists, statements may write shadow tables. SQLite allows that within a statement anyway.
// It costs all compiled statements of the connection, which SQLite compiles again.
class ShadowsWritable {
 public:
  explicit ShadowsWritable(sqlite3* db);
  ~ShadowsWritable();
  ShadowsWritable(const ShadowsWritable&) = delete;
  ShadowsWritable& operator=(const ShadowsWritable&) = delete;

 private:
  sqlite3* const db_;
  int defensive_ = 0;
};

// A statement of a pool, which gets it back. Null after an error of `Storage::Take`.
class Storage;
class PooledStatement {
 public:
  PooledStatement() = default;
  PooledStatement(Storage* storage, std::string_view sql, sqlite3_stmt* stmt)
      : storage_(storage), sql_(sql), stmt_(stmt) {}
  ~PooledStatement() { Release(); }
  PooledStatement(PooledStatement&& other) noexcept { *this = std::move(other); }
  PooledStatement& operator=(PooledStatement&& other) noexcept;

  sqlite3_stmt* get() const { return stmt_; }
  PooledStatement& Int(int place, int64_t value) {
    sqlite3_bind_int64(stmt_, place, value);
    return *this;
  }
  PooledStatement& Text(int place, std::string_view value) {
    sqlite3_bind_text64(stmt_, place, value.data(), value.size(), SQLITE_STATIC, SQLITE_UTF8);
    return *this;
  }
  PooledStatement& Blob(int place, std::string_view value) {
    sqlite3_bind_blob64(stmt_, place, value.data(), value.size(), SQLITE_STATIC);
    return *this;
  }
  // SQLITE_ROW, SQLITE_DONE, or an error.
  int Step() { return sqlite3_step(stmt_); }
  // Runs a statement without rows. SQLITE_OK, or an error. May run again.
  int Run();
  int64_t IntAt(int column) const { return sqlite3_column_int64(stmt_, column); }
  bool IsNullAt(int column) const { return sqlite3_column_type(stmt_, column) == SQLITE_NULL; }
  std::string_view BytesAt(int column) const;
  void Release();

 private:
  Storage* storage_ = nullptr;
  std::string sql_;
  sqlite3_stmt* stmt_ = nullptr;
};

class Storage {
 public:
  // A rollup has the series and the settings of its time series.
  enum class Of { kPoints, kRollup };
  Storage(sqlite3* db, std::string_view schema, std::string_view name,
          const Declaration* declaration, Of of = Of::kPoints);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  // Fails if the tables cannot have this name, because a foreign key of another table refers to one
  // of them already: it could forbid to delete rows.
  Status CheckName(std::string_view name);
  int Create();
  int Drop();
  int Rename(std::string_view name);

  // `sql` may name the tables as {series}, {tail}, {blocks} and {config}.
  int Take(std::string_view sql, PooledStatement* statement);
  void Give(const std::string& sql, sqlite3_stmt* stmt);

  sqlite3* db() const { return db_; }
  const std::string& name() const { return name_; }
  const std::string& schema() const { return schema_; }
  void SetName(std::string name);
  const Declaration& declaration() const { return *declaration_; }

 private:
  int CreatePoints();
  std::vector<const char*> Tables() const;
  std::string Expanded(std::string_view sql) const;
  int Exec(std::string_view sql);
  void Clear();

  sqlite3* const db_;
  const std::string schema_;
  std::string name_;
  const Declaration* const declaration_;
  const Of of_;
  std::map<std::string, std::vector<sqlite3_stmt*>, std::less<>> idle_;
};

}  // namespace cairn::timeseries
