// The door for blocks of a time series table: whatever bytes a client sends, they are refused,
// or the table holds points that can be read, changed and deleted.
#include <sqlite3.h>

#include <memory>

#include "base/check.h"
#include "fuzz_input.h"
#include "timeseries/sqlite/module.h"

namespace cairn::timeseries {
namespace {

class Database {
 public:
  Database() {
    CHECK(sqlite3_open(":memory:", &db_) == SQLITE_OK);
    CHECK(module_.Install(db_).ok());
    CHECK(
        Run("CREATE VIRTUAL TABLE m USING timeseries(site TEXT TAG, ts TIMESTAMP_MS, v REAL, "
            "n INTEGER, ok BOOLEAN, state TEXT, rollups='1m,1h')"));
  }
  ~Database() { CHECK(sqlite3_close(db_) == SQLITE_OK) << "a statement is left open"; }
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  bool Run(const char* sql) {
    return sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) == SQLITE_OK;
  }
  int64_t Number(const char* sql) {
    sqlite3_stmt* stmt = nullptr;
    CHECK(sqlite3_prepare_v2(db_, sql, -1, &stmt, nullptr) == SQLITE_OK) << sqlite3_errmsg(db_);
    CHECK(sqlite3_step(stmt) == SQLITE_ROW) << sql << ": " << sqlite3_errmsg(db_);
    const int64_t number = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    return number;
  }
  // True: the block was taken.
  bool Insert(const std::string& site, const std::string& block) {
    sqlite3_stmt* stmt = nullptr;
    CHECK(sqlite3_prepare_v2(db_, "INSERT INTO m(site, block) VALUES(?1, ?2)", -1, &stmt,
                             nullptr) == SQLITE_OK);
    sqlite3_bind_text64(stmt, 1, site.data(), site.size(), SQLITE_STATIC, SQLITE_UTF8);
    sqlite3_bind_blob64(stmt, 2, block.data(), block.size(), SQLITE_STATIC);
    const int rc = sqlite3_step(stmt);
    sqlite3_finalize(stmt);
    return rc == SQLITE_DONE;
  }

 private:
  TimeSeriesModule module_{ModuleOptions()};
  sqlite3* db_ = nullptr;
};

void Try(const std::string& block) {
  Database database;
  const bool taken = database.Insert("a", block);
  const int64_t once = database.Number("SELECT count(*) FROM m");
  CHECK(taken || once == 0);
  // The same points are there already. Of another series they are new.
  database.Insert("a", block);
  CHECK(database.Number("SELECT count(*) FROM m") == once);
  CHECK(database.Insert("b", block) == taken);
  CHECK(database.Number("SELECT count(*) FROM m") == 2 * once);
  const int64_t points = database.Number("SELECT count(*) FROM m");
  CHECK(points == database.Number("SELECT count(*) FROM (SELECT DISTINCT site, ts FROM m)"));
  CHECK(points == database.Number("SELECT total(v_count) FROM m_1h") ||
        database.Number("SELECT count(*) FROM m WHERE v IS NULL") > 0);
  CHECK(database.Run("UPDATE m SET v = 1.5 WHERE ts % 2 = 0"));
  CHECK(database.Number("SELECT count(*) FROM m") == points);
  CHECK(database.Run("DELETE FROM m"));
  CHECK(database.Number("SELECT count(*) FROM m") == 0);
}

}  // namespace
}  // namespace cairn::timeseries

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  cairn::timeseries::Try({reinterpret_cast<const char*>(data), size});
  return 0;
}
