// LocalDatabase: an SQLite database of this process, from which rows are loaded into a cluster.
#pragma once

#include <sqlite3.h>

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "cairn/value.h"
#include "timeseries/sqlite/module.h"

namespace cairn::tools {

// Not thread-safe.
class LocalDatabase {
 public:
  // A file of SQLite, which is only read.
  static Result<std::unique_ptr<LocalDatabase>> OpenFile(const std::string& path);
  // An empty one, in a temporary file that goes with this object.
  static Result<std::unique_ptr<LocalDatabase>> New();
  ~LocalDatabase();
  LocalDatabase(const LocalDatabase&) = delete;
  LocalDatabase& operator=(const LocalDatabase&) = delete;

  // While an input's statements run here, they may not reach another file, make a temporary object
  // other than a table, or change a setting of the connection. Nor may they do anything with these tables, which stand
  // for tables of the cluster and have none of their rows, other than INSERT.
  void Guard(const std::set<std::string>* only_inserts);
  void EndGuard();
  // Why the guard refused the last statement.
  const std::string& refusal() const { return guard_.refusal; }

  Status Exec(const std::string& sql);
  // Calls `row` for each row, until it is not OK.
  Status Query(const std::string& sql, const std::function<Status(const Row&)>& row);
  Result<std::vector<Row>> All(const std::string& sql);
  Status Insert(const std::string& sql, const std::vector<Value>& values);

  sqlite3* handle() const { return db_; }
  Status Error() const;

 private:
  struct GuardState {
    const std::set<std::string>* only_inserts = nullptr;
    std::string refusal;
  };

  explicit LocalDatabase(sqlite3* db) : db_(db) {}
  // What a node adds to SQLite.
  Status AddModules(bool writes);
  static int Authorize(void* guard, int action, const char* a, const char* b, const char* db,
                       const char* trigger);
  Result<sqlite3_stmt*> Prepare(const std::string& sql);

  std::unique_ptr<timeseries::TimeSeriesModule> time_series_;
  sqlite3* db_ = nullptr;
  GuardState guard_;
  std::string inserts_;             // the text of insert_
  sqlite3_stmt* insert_ = nullptr;  // the last Insert
};

}  // namespace cairn::tools
