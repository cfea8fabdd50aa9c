// A database in memory, or in a file, with the module.
#pragma once

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <string>
#include <vector>

#include "timeseries/sqlite/module.h"

namespace cairn::timeseries {

class Connection {
 public:
  explicit Connection(const std::string& path = ":memory:", ModuleOptions options = {})
      : module_(std::move(options)) {
    EXPECT_EQ(sqlite3_open(path.c_str(), &db_), SQLITE_OK);
    EXPECT_TRUE(module_.Install(db_).ok());
    sqlite3_db_config(db_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  }
  ~Connection() {
    FreeParameters();
    EXPECT_EQ(sqlite3_close(db_), SQLITE_OK);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  sqlite3* db() const { return db_; }
  TimeSeriesModule& module() { return module_; }

  // The rows, one a line, columns between "|"; or "error: ...".
  std::string Run(const std::string& sql) {
    std::string out;
    const char* rest = sql.c_str();
    while (*rest != '\0') {
      sqlite3_stmt* stmt = nullptr;
      if (sqlite3_prepare_v2(db_, rest, -1, &stmt, &rest) != SQLITE_OK) return Error();
      if (stmt == nullptr) break;
      for (size_t i = 0; i < parameters_.size(); ++i) {
        sqlite3_bind_value(stmt, static_cast<int>(i) + 1, parameters_[i]);
      }
      int rc;
      while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) out += RowOf(stmt);
      std::string error = rc == SQLITE_DONE ? "" : Error();
      sqlite3_finalize(stmt);
      if (!error.empty()) return error;
    }
    return out;
  }
  // The statements from now on have these parameters: the values of the row of a query.
  void Bind(const std::string& sql) {
    FreeParameters();
    sqlite3_stmt* stmt = nullptr;
    ASSERT_EQ(sqlite3_prepare_v2(db_, sql.c_str(), -1, &stmt, nullptr), SQLITE_OK) << sql;
    ASSERT_EQ(sqlite3_step(stmt), SQLITE_ROW) << sql;
    for (int i = 0; i < sqlite3_column_count(stmt); ++i) {
      parameters_.push_back(sqlite3_value_dup(sqlite3_column_value(stmt, i)));
    }
    sqlite3_finalize(stmt);
  }
  void Must(const std::string& sql) { ASSERT_EQ(Run(sql), "") << sql; }

 private:
  void FreeParameters() {
    for (sqlite3_value* value : parameters_) sqlite3_value_free(value);
    parameters_.clear();
  }
  std::string Error() const { return std::string("error: ") + sqlite3_errmsg(db_); }
  static std::string RowOf(sqlite3_stmt* stmt) {
    std::string row;
    for (int i = 0; i < sqlite3_column_count(stmt); ++i) {
      if (i > 0) row += '|';
      const auto* const text = reinterpret_cast<const char*>(sqlite3_column_text(stmt, i));
      row += sqlite3_column_type(stmt, i) == SQLITE_NULL ? "NULL" : text;
    }
    return row + "\n";
  }

  TimeSeriesModule module_;
  sqlite3* db_ = nullptr;
  std::vector<sqlite3_value*> parameters_;
};

}  // namespace cairn::timeseries
