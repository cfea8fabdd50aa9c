// Time series beside plain tables of SQLite that hold the same, in one process and on one core: the
// bytes of a point, decoding, queries, the last points, and the query shapes of the IoT case of the
// Time Series Benchmark Suite. Prints tables. Rounds are interleaved, and figures are
// medians of the time of the processor.
#include <sqlite3.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <functional>
#include <string>
#include <vector>

#include "base/check.h"
#include "telemetry.h"
#include "timeseries/block.h"
#include "timeseries/sqlite/module.h"
#include "timeseries/sqlite/trucks_test_util.h"

namespace cairn::bench {
namespace {

constexpr int kRounds = 7;

// A file in WAL mode, as that of a node, with the module.
class Database {
 public:
  explicit Database(const std::string& file) : file_(file), module_(timeseries::ModuleOptions()) {
    std::remove(file.c_str());
    CHECK(sqlite3_open(file.c_str(), &db_) == SQLITE_OK);
    CHECK(module_.Install(db_).ok());
    Run("PRAGMA journal_mode=WAL");
    Run("PRAGMA cache_size=-65536");
  }
  ~Database() {
    sqlite3_close(db_);
    std::remove(file_.c_str());
  }
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // Gives the number of rows.
  int64_t Run(const std::string& sql, const std::string* block = nullptr) {
    sqlite3_stmt* stmt = nullptr;
    CHECK(sqlite3_prepare_v2(db_, sql.c_str(), -1, &stmt, nullptr) == SQLITE_OK)
        << sqlite3_errmsg(db_) << ": " << sql;
    if (block != nullptr) {
      sqlite3_bind_blob(stmt, 1, block->data(), static_cast<int>(block->size()), SQLITE_STATIC);
    }
    int64_t rows = 0;
    int rc = SQLITE_OK;
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
      for (int i = 0; i < sqlite3_column_count(stmt); ++i) (void)sqlite3_column_bytes(stmt, i);
      number_ = sqlite3_column_int64(stmt, 0);
      ++rows;
    }
    CHECK(rc == SQLITE_DONE) << sqlite3_errmsg(db_) << ": " << sql;
    sqlite3_finalize(stmt);
    return rows;
  }
  int64_t Number(const std::string& sql) {
    Run(sql);
    return number_;
  }
  // Of the tables whose names match, and of their indexes.
  int64_t BytesOf(const std::string& pattern) {
    return Number("SELECT sum(pgsize) FROM dbstat WHERE name GLOB '" + pattern + "'");
  }

 private:
  const std::string file_;
  timeseries::TimeSeriesModule module_;
  sqlite3* db_ = nullptr;
  int64_t number_ = 0;
};

// Of the processor: what else the machine does shall not count. Everything is in the page cache.
double SecondsOf(const std::function<void()>& work) {
  const std::clock_t begin = std::clock();
  work();
  return static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
}

struct Pair {
  double series = 0;
  double plain = 0;
};

Pair Medians(const std::function<void()>& series, const std::function<void()>& plain) {
  std::vector<double> of_series, of_plain;
  for (int round = 0; round < kRounds; ++round) {
    of_series.push_back(SecondsOf(series));
    of_plain.push_back(SecondsOf(plain));
  }
  std::nth_element(of_series.begin(), of_series.begin() + kRounds / 2, of_series.end());
  std::nth_element(of_plain.begin(), of_plain.begin() + kRounds / 2, of_plain.end());
  return {of_series[kRounds / 2], of_plain[kRounds / 2]};
}

void Decoding() {
  const std::string bytes = TelemetryBlock(0);
  timeseries::Block block;
  constexpr int kBlocks = 20'000;
  const Pair took = Medians(
      [&] {
        for (int i = 0; i < kBlocks; ++i) {
          CHECK(timeseries::DecodeBlock(bytes, timeseries::kAllColumns, &block).ok());
        }
      },
      [] {});
  const double points = static_cast<double>(kBlocks) * kTelemetryBlockPoints;
  std::printf("| decoding blocks, a core | %.0f million points/s | - | 100 million |\n",
              points / took.series / 1e6);
}

// One point each second, two decimals: in blocks, and in a plain table.
class Telemetry {
 public:
  static constexpr int kDevices = 20;
  static constexpr uint64_t kBlocks = 100;  // of a device
  static constexpr double kPoints = kDevices * static_cast<double>(kBlocks * kTelemetryBlockPoints);

  explicit Telemetry(Database* db) : db_(*db) {
    const std::string columns = "(device INTEGER TAG, ts TIMESTAMP_MS, value REAL";
    db_.Run("CREATE VIRTUAL TABLE m USING timeseries" + columns + ")");
    db_.Run("CREATE VIRTUAL TABLE rolled USING timeseries" + columns + ", rollups='1m,1h,1d')");
    db_.Run(
        "CREATE TABLE plain(device INTEGER, ts INTEGER, value REAL, PRIMARY KEY(device, ts)) "
        "WITHOUT ROWID");
    db_.Run("BEGIN");
    for (int device = 1; device <= kDevices; ++device) Fill(std::to_string(device));
    db_.Run("COMMIT");
    db_.Run("ANALYZE");
  }

  void Sizes() {
    const double plain = static_cast<double>(db_.BytesOf("plain"));
    const auto line = [&](const char* what, const char* pattern) {
      std::printf("| bytes of a point: %s | %.2f | %.1f | 3 |\n", what,
                  static_cast<double>(db_.BytesOf(pattern)) / kPoints, plain / kPoints);
    };
    line("blocks", "m_*");
    line("blocks, rollups of 1 m, 1 h and 1 d", "rolled_*");
  }

  void Queries() {
    Compare("sum of all points", "SELECT sum(value), count(*) FROM {t}");
    Compare("average by minute of one series",
            "SELECT ts / 60000 AS minute, avg(value) FROM {t} WHERE device = 7 GROUP BY minute");
    Compare("rows of an hour of one series",
            "SELECT ts, value FROM {t} WHERE device = 7 AND ts >= 1700050000000 AND ts < "
            "1700053600000");
  }

 private:
  void Fill(const std::string& device) {
    for (uint64_t number = 0; number < kBlocks; ++number) {
      const std::string block = TelemetryBlock(number);
      for (const char* table : {"m", "rolled"}) {
        db_.Run(std::string("INSERT INTO ") + table + "(device, block) VALUES(" + device + ", ?1)",
                &block);
      }
    }
    db_.Run("INSERT INTO plain SELECT device, ts, value FROM m WHERE device = " + device +
            " ORDER BY ts");
  }
  void Compare(const char* what, const std::string& sql) {
    const auto of = [&](const char* table) {
      std::string text = sql;
      text.replace(text.find("{t}"), 3, table);
      return [this, text] { db_.Run(text); };
    };
    const Pair took = Medians(of("m"), of("plain"));
    std::printf("| %s | %.1f ms | %.1f ms | %.1f times as fast; aim 2 |\n", what, took.series * 1e3,
                took.plain * 1e3, took.plain / took.series);
  }

  Database& db_;
};

void LastPoints(Database* db) {
  db->Run(
      "CREATE VIRTUAL TABLE many USING timeseries(device TEXT TAG, ts TIMESTAMP_MS, value REAL)");
  db->Run("CREATE TABLE devices(device TEXT PRIMARY KEY) WITHOUT ROWID");
  db->Run(
      "CREATE TABLE many_plain(device TEXT, ts INTEGER, value REAL, PRIMARY KEY(device, ts)) "
      "WITHOUT "
      "ROWID");
  db->Run("BEGIN");
  for (int device = 0; device < 1000; ++device) {
    const std::string name = "'device_" + std::to_string(device) + "'";
    const std::string block = TelemetryBlock(0);
    db->Run("INSERT INTO devices VALUES(" + name + ")");
    db->Run("INSERT INTO many(device, block) VALUES(" + name + ", ?1)", &block);
    db->Run("INSERT INTO many VALUES(" + name + ", 1710000000000, 20.5)");
    db->Run("INSERT INTO many_plain SELECT device, ts, value FROM many WHERE device = " + name);
  }
  db->Run("COMMIT");
  const Pair took = Medians(
      [&] { CHECK(db->Run("SELECT device, ts, value FROM many WHERE is_last = 1") == 1000); },
      [&] {
        CHECK(db->Run(
                  "SELECT p.device, p.ts, p.value FROM devices AS d CROSS JOIN many_plain AS p ON "
                  "p.device = d.device AND p.ts = (SELECT max(ts) FROM many_plain WHERE device "
                  "= d.device)") == 1000);
      });
  std::printf("| the last points of 1,000 series | %.1f ms | %.1f ms | 5 ms |\n", took.series * 1e3,
              took.plain * 1e3);
}

void Shapes(Database* db) {
  constexpr int kTrucks = 60;
  db->Run("BEGIN");
  const timeseries::Trucks trucks([db](const std::string& sql) { db->Run(sql); }, kTrucks);
  db->Run("COMMIT");
  // Beside the primary key (fleet, name, ts): what the queries of a time need.
  db->Run("CREATE INDEX readings_of_time ON readings_p(fleet, ts, name, velocity)");
  db->Run("CREATE INDEX diagnostics_of_time ON diagnostics_p(ts)");
  db->Run("ANALYZE");
  std::printf(
      "\n### The 12 query shapes of the IoT case, %d trucks of two days, %lld points\n\n"
      "| query | time series | plain tables, indexes and ANALYZE | times as fast |\n"
      "|---|---|---|---|\n",
      kTrucks, 2 * static_cast<long long>(db->Number("SELECT count(*) FROM readings_p")));
  for (const timeseries::TruckQuery& query : timeseries::kTruckQueries) {
    const std::string series = timeseries::TruckSql(query.sql, true);
    const std::string plain = timeseries::TruckSql(query.sql, false);
    const Pair took = Medians([&] { db->Run(series); }, [&] { db->Run(plain); });
    std::printf("| %s | %.2f ms | %.2f ms | %.2f |\n", query.name, took.series * 1e3,
                took.plain * 1e3, took.plain / took.series);
  }
}

}  // namespace
}  // namespace cairn::bench

int main() {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  cairn::bench::Database db("series_bench.db");
  std::printf("| what | time series | plain table WITHOUT ROWID | aim |\n|---|---|---|---|\n");
  cairn::bench::Decoding();
  cairn::bench::Telemetry telemetry(&db);
  telemetry.Sizes();
  telemetry.Queries();
  cairn::bench::LastPoints(&db);
  cairn::bench::Shapes(&db);
  return 0;
}
