// The trucks of the IoT case of the Time Series Benchmark Suite, drawn here, and its queries: over
// time series and over plain tables that hold the same.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "base/rng.h"

namespace cairn::timeseries {

// Numbers are quarters and loads are powers of two, so sums are exact in whatever order.
inline std::string Quarters(uint64_t quarters) { return std::to_string(quarters) + "/4.0"; }

class Trucks {
 public:
  using Run = std::function<void(const std::string& sql)>;  // no error is expected
  explicit Trucks(Run run, int trucks = 12) : run_(std::move(run)) {
    run_("CREATE TABLE fleet_of(fleet TEXT, name TEXT, PRIMARY KEY(fleet, name)) WITHOUT ROWID");
    run_(
        "CREATE TABLE truck(name TEXT PRIMARY KEY, driver TEXT, model TEXT, load_capacity REAL, "
        "nominal_fuel_consumption REAL)");
    Create("readings", "latitude REAL, longitude REAL, velocity REAL, fuel_consumption REAL");
    Create("diagnostics", "fuel_state REAL, current_load REAL, status INTEGER");
    for (int truck = 0; truck < trucks; ++truck) Drive(truck);
    std::string late = std::move(late_readings_);
    Insert("readings", &late);
    late = std::move(late_diagnostics_);
    Insert("diagnostics", &late);
  }

 private:
  static constexpr int64_t kMinute = 60'000;
  static constexpr int64_t kBegin = 1'700'006'400'000;  // of a day
  static constexpr int kMinutes = 2 * 24 * 60;
  static constexpr size_t kLate = 100;  // one point of so many comes late

  void Create(const std::string& name, const std::string& values) {
    run_("CREATE VIRTUAL TABLE " + name +
         "_m USING timeseries(fleet TEXT TAG, name TEXT TAG, ts TIMESTAMP_MS, " + values +
         ", rollups='10m')");
    run_("CREATE TABLE " + name +
         "_p(fleet TEXT NOT NULL, name TEXT NOT NULL, ts INTEGER NOT NULL, " + values +
         ", PRIMARY KEY(fleet, name, ts)) WITHOUT ROWID");
  }
  void Insert(const std::string& table, std::string* rows) {
    for (const char* of : {"_m", "_p"}) run_("INSERT INTO " + table + of + " VALUES " + *rows);
    rows->clear();
  }
  void Add(std::string row, std::string* rows, std::string* late) {
    std::string* const to = rng_.Below(kLate) == 0 ? late : rows;
    *to += (to->empty() ? "" : ", ") + std::move(row);
  }
  void Drive(int truck) {
    const char* const fleets[] = {"South", "West", "East"};
    const std::string fleet = fleets[truck % 3];
    const std::string name = "truck_" + std::to_string(truck);
    run_("INSERT INTO truck VALUES('" + name + "', 'driver " + std::to_string(truck % 5) +
         "', 'G-" + std::to_string(truck % 4) + "', " + std::to_string(1024 << truck % 3) + ", " +
         Quarters(60 + rng_.Below(40)) + ")");
    run_("INSERT INTO fleet_of VALUES('" + fleet + "', '" + name + "')");
    const std::string key = "('" + fleet + "', '" + name + "', ";
    std::string readings;
    std::string diagnostics;
    bool drives = true;
    bool broken = false;
    uint64_t fuel = 4000;
    uint64_t load = 900;
    for (int minute = 0; minute < kMinutes; ++minute) {
      if (rng_.Below(truck % 4 == 0 ? 700 : 60) == 0) drives = !drives;
      if (rng_.Below(200) == 0) broken = !broken;
      if (rng_.Below(300) == 0) load = rng_.Below(1020);
      fuel = fuel < 30 ? 4000 : fuel - (drives ? rng_.Below(12) : 0);
      if (rng_.Below(50) == 0) continue;  // nothing was heard
      const std::string time = std::to_string(kBegin + minute * kMinute);
      const uint64_t velocity = drives ? 100 + rng_.Below(300) : rng_.Below(4);
      Add(key + time + ", " + Quarters(rng_.Below(360)) + ", " + Quarters(rng_.Below(720)) + ", " +
              (rng_.Below(20) == 0 ? "NULL" : Quarters(velocity)) + ", " +
              Quarters(drives ? 40 + rng_.Below(60) : 0) + ")",
          &readings, &late_readings_);
      Add(key + time + ", " + std::to_string(fuel) + "/4096.0, " +
              std::to_string((1 << truck % 3) * load) + ", " +
              (rng_.Below(20) == 0 ? "NULL"
               : broken            ? "0"
                                   : std::to_string(1 + rng_.Below(4))) +
              ")",
          &diagnostics, &late_diagnostics_);
      if (minute % 500 == 499) Insert("readings", &readings);
      if (minute % 500 == 499) Insert("diagnostics", &diagnostics);
    }
    if (!readings.empty()) Insert("readings", &readings);
    if (!diagnostics.empty()) Insert("diagnostics", &diagnostics);
  }

  const Run run_;
  Rng rng_{7};
  std::string late_readings_;
  std::string late_diagnostics_;
};

struct TruckQuery {
  const char* name;
  // {r}, {d}: the readings and the diagnostics. {last x}: of x, the last row of each truck.
  const char* sql;
};

// Trucks that drive, by ten minutes.
#define CAIRN_DRIVING                                                                            \
  "driving AS (SELECT fleet, name, time_bucket('10m', ts) AS t FROM {r} AS r WHERE velocity IS " \
  "NOT NULL AND ts >= 1700006400000 AND ts < 1700179200000 GROUP BY fleet, name, t HAVING "      \
  "avg(velocity) > 1) "

inline constexpr TruckQuery kTruckQueries[] = {
    {"last-loc",
     "SELECT name, driver, latitude, longitude FROM {last r} JOIN truck USING(name) ORDER BY name"},
    {"low-fuel",
     "SELECT name, driver, fuel_state FROM {last d} JOIN truck USING(name) WHERE fleet = 'South' "
     "AND fuel_state < 0.6 ORDER BY name"},
    {"high-load",
     "SELECT name, driver, current_load, load_capacity FROM {last d} JOIN truck USING(name) WHERE "
     "current_load / load_capacity > 0.3 ORDER BY name"},
    {"stationary-trucks",
     "SELECT name, driver FROM {r} AS r JOIN truck USING(name) WHERE fleet = 'West' AND ts >= "
     "1700049600000 AND ts < 1700050200000 GROUP BY name, driver HAVING avg(velocity) < 1 ORDER BY "
     "name"},
    {"long-driving-sessions",
     "WITH " CAIRN_DRIVING
     "SELECT name, driver, count(*) FROM driving JOIN truck USING(name) WHERE fleet = 'West' AND t "
     ">= 1700049600000 AND t < 1700064000000 GROUP BY name, driver HAVING count(*) > 15 ORDER BY "
     "name"},
    {"long-daily-sessions",
     "WITH " CAIRN_DRIVING
     "SELECT name, driver, count(*) FROM driving JOIN truck USING(name) WHERE t >= 1700006400000 "
     "AND t < 1700092800000 GROUP BY name, driver HAVING count(*) > 60 ORDER BY name"},
    {"avg-vs-projected-fuel-consumption",
     "SELECT fleet, avg(fuel_consumption), avg(nominal_fuel_consumption) FROM {r} AS r JOIN truck "
     "USING(name) WHERE velocity > 1 GROUP BY fleet ORDER BY fleet"},
    {"avg-daily-driving-duration",
     "WITH " CAIRN_DRIVING
     ", daily AS (SELECT name, time_bucket('1d', t) AS day, count(*) / 6.0 AS hours FROM driving "
     "GROUP BY name, day) SELECT fleet, daily.name, driver, avg(hours) FROM daily JOIN truck "
     "USING(name) JOIN (SELECT DISTINCT fleet, name FROM {r}) AS f USING(name) GROUP BY fleet, "
     "daily.name, driver ORDER BY daily.name"},
    {"avg-daily-driving-session",
     "WITH buckets AS (SELECT name, time_bucket('10m', ts) AS t, avg(velocity) > 5 AS drives FROM "
     "{r} AS r GROUP BY name, t), changes AS (SELECT name, t, drives FROM (SELECT name, t, drives, "
     "lag(drives) OVER (PARTITION BY name ORDER BY t) AS before FROM buckets) WHERE before IS NULL "
     "OR before <> drives), sessions AS (SELECT name, t, drives, lead(t) OVER (PARTITION BY name "
     "ORDER BY t) - t AS length FROM changes) SELECT name, time_bucket('1d', t) AS day, "
     "avg(length) FROM sessions WHERE drives = 1 GROUP BY name, day ORDER BY name, day"},
    {"avg-load",
     "SELECT fleet, model, load_capacity, avg(load) FROM (SELECT fleet, name, avg(current_load) AS "
     "load FROM {d} AS d GROUP BY fleet, name) JOIN truck USING(name) GROUP BY fleet, model, "
     "load_capacity ORDER BY 1, 2, 3"},
    {"daily-activity",
     "SELECT fleet, model, day, sum(active) / 144.0 FROM (SELECT fleet, name, time_bucket('1d', "
     "ts) AS day, time_bucket('10m', ts) AS t, avg(status) > 1 AS active FROM {d} AS d GROUP BY "
     "fleet, name, day, t) JOIN truck USING(name) GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"},
    {"breakdown-frequency",
     "WITH broken AS (SELECT name, time_bucket('10m', ts) AS t, 2 * sum(status = 0) > "
     "count(status) "
     "AS is_broken FROM {d} AS d WHERE ts >= 1700006400000 GROUP BY name, t), breakdowns AS "
     "(SELECT "
     "name, is_broken, lead(is_broken) OVER (PARTITION BY name ORDER BY t) AS next FROM broken) "
     "SELECT model, count(*) FROM breakdowns JOIN truck USING(name) WHERE is_broken = 0 AND next = "
     "1 GROUP BY model ORDER BY model"},
};

// The query over time series, or over plain tables.
inline std::string TruckSql(std::string sql, bool series) {
  const auto replace = [&sql](const std::string& what, const std::string& by) {
    for (size_t at = 0; (at = sql.find(what, at)) != std::string::npos;) {
      sql.replace(at, what.size(), by);
    }
  };
  for (const auto& [letter, table] : {std::pair("r", "readings"), std::pair("d", "diagnostics")}) {
    const std::string name = std::string(table) + (series ? "_m" : "_p");
    replace("{" + std::string(letter) + "}", name);
    replace("{last " + std::string(letter) + "}",
            series ? "(SELECT * FROM " + name + " WHERE is_last = 1)"
                   : "(SELECT l.* FROM fleet_of AS f JOIN " + name +
                         " AS l ON l.fleet = f.fleet AND l.name = f.name AND l.ts = (SELECT "
                         "max(ts) FROM " +
                         name + " WHERE fleet = f.fleet AND name = f.name))");
  }
  return sql;
}

#undef CAIRN_DRIVING

}  // namespace cairn::timeseries
