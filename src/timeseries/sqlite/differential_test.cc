// A time series beside a plain table: after any history, any query tells the same rows, in the same
// order where it asks for one.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include "base/rng.h"
#include "timeseries/sqlite/connection_test_util.h"

namespace cairn::timeseries {
namespace {

// Series come in the order of the tags.
constexpr const char* kCreateSeries[] = {
    "CREATE VIRTUAL TABLE m USING timeseries(device TEXT TAG, ts TIMESTAMP_MS, unit INTEGER TAG, "
    "v REAL, n INTEGER, ok BOOLEAN, state TEXT, rollups='1m')",
    "CREATE VIRTUAL TABLE m USING timeseries(state TEXT, unit INTEGER TAG, ok BOOLEAN, n INTEGER, "
    "v REAL, device TEXT TAG, ts TIMESTAMP_MS, rollups='10s,1m')"};
constexpr char kCreatePlain[] =
    "CREATE TABLE p(device TEXT NOT NULL, ts INTEGER NOT NULL, unit INTEGER NOT NULL, v REAL, n "
    "INTEGER, ok INTEGER, state TEXT, PRIMARY KEY(device, unit, ts)) WITHOUT ROWID;"
    // Values to compare tags and times with: of numeric, text and no affinity.
    "CREATE TABLE k(i INTEGER, t TEXT, a, r REAL);"
    "INSERT INTO k VALUES(5, '5', 5, 5), (10, 'a', '10', 10), (NULL, '05', '5', 2.5), (1, 'b1', "
    "'a', 1), (2, '5.0', 2, 2), (3, 'none', 5.0, 70000);"
    // What the rollup tells, and what is_last does.
    "CREATE VIEW m_minutes AS SELECT device, ts, unit, v_sum AS v, points AS n, ok_max AS ok, "
    "state_last AS state FROM m_1m;"
    "CREATE VIEW p_minutes AS SELECT device, CAST(time_bucket('1m', ts) AS INTEGER) AS ts, unit, "
    "CAST(sum(v) AS REAL) AS v, CAST(count(*) AS INTEGER) AS n, CAST(max(ok) AS INTEGER) AS ok, "
    "CAST(last(state, ts) AS TEXT) AS state FROM p GROUP BY device, 2, unit;"
    "CREATE VIEW m_last AS SELECT device, ts, unit, v, n, ok, state FROM m WHERE is_last = 1;"
    "CREATE VIEW p_last AS SELECT device, ts, unit, v, n, ok, state FROM p AS q WHERE ts = (SELECT "
    "max(ts) FROM p WHERE device = q.device AND unit = q.unit);";

std::string For(std::string sql, const std::string& table) {
  for (size_t at = 0; (at = sql.find("{}", at)) != std::string::npos;) sql.replace(at, 2, table);
  return sql;
}

std::string SortedLines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  std::sort(lines.begin(), lines.end());
  std::string out;
  for (const std::string& line : lines) out += line + "\n";
  return out;
}

class Generator {
 public:
  explicit Generator(uint64_t seed) : rng_(seed), one_point_a_time_(seed % 2 == 0) {}

  // {} stands for the table.
  std::string Statement() {
    switch (rng_.Below(16)) {
      case 0: return "DELETE FROM {} WHERE " + Where();
      case 1: return "DELETE FROM {} WHERE ts % 7000 < 2000 AND " + Range("");
      case 2:
        return "UPDATE {} SET v = v + 0.25, state = " + State() + ", n = NULL WHERE " + Where();
      case 3:
        return "UPDATE {} SET n = coalesce(n, 0) + k.i FROM k WHERE k.t = {}.device AND " +
               Range("{}.");
      case 10:
        return Pick({"UPDATE", "UPDATE OR IGNORE"}) + " {} SET ts = ts + 500 WHERE " + Range("");
      case 4:
        return Pick({"UPDATE", "UPDATE OR REPLACE", "UPDATE OR IGNORE"}) +
               " {} SET ts = ts + 60000 WHERE " + Series("") + " AND ts = " + Time();
      case 5: return "INSERT OR IGNORE INTO {}" + Late(1 + rng_.Below(9));
      case 6: return "INSERT INTO {}" + Late(2);
      case 7:
        return "INSERT OR REPLACE INTO {}(device, ts, unit, v, n, ok, state) SELECT 'copy', ts + "
               "20, unit, v, n, ok, state FROM {} "
               "WHERE " +
               Series("");
      case 8:
      case 9: return "INSERT OR REPLACE INTO {}" + Late(1 + rng_.Below(40));
      default: return Burst();
    }
  }

  // The values of ?1 for devices, ?2 for units, and ?3 for times.
  std::string Parameters() {
    return "SELECT " + Pick({"5", "'5'", "5.0", "'a'", "'05'", "NULL", "X'35'"}) + ", " +
           Pick({"1", "'1'", "1.0", "2.5", "'x'", "10"}) + ", " + Time() + Pick({"", "", ".5"});
  }
  struct Query {
    std::string sql;
    bool ordered = false;
  };
  Query Question() {
    switch (rng_.Below(10)) {
      case 0: return {"SELECT " + Aggregates() + " FROM " + Table() + " WHERE " + Where(), true};
      case 1: {
        const std::string by = Pick({"device", "device, unit", "unit", "time_bucket('1m', ts)",
                                     "device, time_bucket(30000, ts)", "unit, device", "state"});
        return {"SELECT " + by + ", " + Aggregates() + " FROM {} WHERE " + Where() + " GROUP BY " +
                    by + Pick({"", " HAVING count(*) > 3"}),
                false};
      }
      case 2:
        return {
            "SELECT device, unit, count(*), first(v, ts), last(n, ts), rate(v, ts), "
            "time_weighted_avg(v, ts, 'linear') FROM {} WHERE " +
                Where() + " GROUP BY 1, 2",
            false};
      case 3: return Join();
      case 4:
        return {
            "SELECT device, unit, ts, locf(v) OVER w, lag(ts) OVER w, interpolate(ts, lag(ts) "
            "OVER w, lag(v) OVER w, lead(ts) OVER w, lead(v) OVER w) FROM {} WHERE " +
                Where() + " WINDOW w AS (PARTITION BY device, unit ORDER BY ts)",
            false};
      case 5:
        return {"SELECT DISTINCT " + Pick({"device", "device, unit", "state", "unit, ok"}) +
                    " FROM {} WHERE " + Where(),
                false};
      default: return Rows(Where());
    }
  }

 private:
  std::string Pick(std::vector<std::string> choices) { return choices[rng_.Below(choices.size())]; }
  bool Chance(uint64_t one_in) { return rng_.Below(one_in) == 0; }

  std::string Device() { return Pick({"'5'", "'05'", "'a'", "'b1'", "'5.0'", "'10'"}); }
  std::string Unit() { return Pick({"1", "2", "10"}); }
  std::string Time() {
    const uint64_t time = Chance(3) ? now_ : rng_.Below(now_ + 1);
    return std::to_string(time * 1000 + (one_point_a_time_ ? rng_.Below(18) : 0));
  }
  std::string State() { return Pick({"NULL", "'on'", "'off'", "7", "''", "'in doubt'"}); }

  // ---- Points ----

  std::string Point(size_t device, size_t unit, uint64_t second) {
    const char* const devices[] = {"'5'", "'05'", "'a'", "'b1'", "'5.0'", "10"};
    const char* const units[] = {"1", "'2'", "10.0"};
    const uint64_t time = second * 1000 + (one_point_a_time_ ? device * 3 + unit : 0);
    const auto quarter = [this] { return std::to_string(rng_.Below(4000)) + "/4.0"; };
    return std::string("(") + devices[device] + ", " + std::to_string(time) + ", " + units[unit] +
           ", " +
           (Chance(9)   ? "NULL"
            : Chance(9) ? "'2.5'"
            : Chance(9) ? "-7"
                        : quarter()) +
           ", " +
           (Chance(9)   ? "NULL"
            : Chance(9) ? "'12'"
                        : std::to_string(rng_.Below(100))) +
           ", " + (Chance(9) ? "NULL" : Pick({"0", "1", "TRUE", "'1'"})) + ", " + State() + ")";
  }
  std::string Late(uint64_t count) {
    std::string sql = "(device, ts, unit, v, n, ok, state) VALUES ";
    for (uint64_t i = 0; i < count; ++i) {
      sql += (i == 0 ? "" : ", ") + Point(rng_.Below(6), rng_.Below(3), rng_.Below(now_ + 10));
    }
    return sql;
  }
  std::string Burst() {
    const size_t device = rng_.Below(6);
    const size_t unit = Chance(3) ? rng_.Below(3) : 0;
    std::string sql = "INSERT OR REPLACE INTO {}(device, ts, unit, v, n, ok, state) VALUES ";
    const uint64_t count = 1 + rng_.Below(Chance(3) ? 700 : 80);
    // Devices overlap in time.
    if (Chance(2)) now_ -= std::min(now_, count);
    for (uint64_t i = 0; i < count; ++i) {
      sql += (i == 0 ? "" : ", ") + Point(device, unit, ++now_);
    }
    return sql;
  }

  // ---- Conditions ----

  std::string Series(const std::string& of) {
    return of + "device = " + Device() + " AND " + of + "unit = " + Unit();
  }
  std::string Range(const std::string& of) {
    const uint64_t from = rng_.Below(now_ + 1) * 1000;
    const uint64_t until = from + rng_.Below(Chance(4) ? now_ + 1 : 90) * 1000;
    return of + "ts >= " + std::to_string(from) + " AND " + of + "ts < " + std::to_string(until);
  }
  std::string OnDevice() {
    switch (rng_.Below(18)) {
      case 16:
      case 17: return "device = ?1";
      case 0: return "device = 5";
      case 1: return "device = 5.0";
      case 2: return "device = CAST(" + Pick({"5", "10", "'5'"}) + " AS INTEGER)";
      case 3: return "device = CAST(5 AS REAL)";
      case 4: return "device IN (" + Device() + ", 5, 'none')";
      case 5: return "device IN (SELECT " + Pick({"i", "t", "a", "r"}) + " FROM k)";
      case 6: return "device = (SELECT " + Pick({"i", "t", "a", "r"}) + " FROM k WHERE i = 5)";
      case 7: return "device = " + Pick({"'A'", "'a'", "'B1'"}) + " COLLATE NOCASE";
      case 8: return "device > " + Device();
      case 9: return "device BETWEEN '05' AND 'a'";
      case 10: return "device IS " + Device();
      case 11: return "device = " + Pick({"NULL", "X'35'", "+'5'", "'none'"});
      case 12: return "device LIKE '" + Pick({"5%", "A", "%0%"}) + "'";
      case 13: return "device <> " + Device();
      default: return "device = " + Device();
    }
  }
  std::string OnUnit() {
    switch (rng_.Below(11)) {
      case 9:
      case 10: return "unit = ?2";
      case 0: return "unit = '" + Unit() + "'";
      case 1: return "unit = " + Unit() + ".0";
      case 2: return "unit = " + Pick({"2.5", "NULL", "'x'", "X'31'", "' 1'"});
      case 3: return "unit IN (1, '10')";
      case 4: return "unit IN (SELECT " + Pick({"i", "t", "a", "r"}) + " FROM k)";
      case 5: return "unit > " + Unit();
      case 6: return "unit = CAST(1 AS TEXT)";
      default: return "unit = " + Unit();
    }
  }
  std::string OnTime() {
    switch (rng_.Below(16)) {
      case 14: return "ts >= ?3";
      case 15: return "ts < ?3 AND ts > ?3 - 50000";
      case 0: return "ts = " + Time();
      case 1: return "ts IN (" + Time() + ", " + Time() + ".0, '" + Time() + "')";
      case 2: return "ts >= " + Time() + ".5";
      case 3: return "ts > '" + Time() + "'";
      case 4: return "ts < " + Pick({"'abc'", "NULL", "9e99", "-9e99", "X'00'"});
      case 5: return "ts <= " + Time() + " AND ts > " + Time();
      case 6: return "ts BETWEEN " + Time() + " AND " + Time();
      case 7: return "NOT ts BETWEEN " + Time() + " AND " + Time();
      case 8: return "ts = " + Time() + ".0";
      case 9: return "ts >= (SELECT " + Pick({"i", "t", "a", "r"}) + " FROM k WHERE i = 3)";
      default: return Range("");
    }
  }
  std::string OnSeveral() {
    switch (rng_.Below(8)) {
      case 0: return "(device, unit) = (" + Device() + ", " + Unit() + ")";
      case 1: return "(ts, n) >= (" + Time() + ", 50)";
      case 2: return "(device, unit, ts) > (" + Device() + ", " + Unit() + ", " + Time() + ")";
      case 3: return "(device, unit) IN (SELECT t, 1 FROM k)";
      case 4: return "EXISTS (SELECT 1 FROM k WHERE k." + Pick({"i", "t", "a", "r"}) + " = device)";
      case 5: return "n > 50 AND state IS NOT NULL";
      case 6: return "v < 500 OR ok = 1";
      default: return "ts = (SELECT max(ts) FROM {} AS o WHERE o.device = 'a')";
    }
  }
  std::string Conjunction() {
    std::string all = Chance(8) ? "1" : "1 AND " + OnTime();
    if (!Chance(3)) all += " AND " + OnDevice();
    if (Chance(2)) all += " AND " + OnUnit();
    if (Chance(4)) all += " AND (" + OnSeveral() + ")";
    return all;
  }
  std::string Where() {
    if (!Chance(5)) return Conjunction();
    return "(" + Conjunction() + ") OR (" + Conjunction() + ")" +
           (Chance(2) ? " OR (" + Conjunction() + ")" : "");
  }

  // ---- Results ----

  std::string Aggregates() {
    return "count(*), count(v), sum(v), min(n), max(ts), avg(n), " +
           Pick({"min(state)", "max(v)", "histogram(v, 0, 1000, 4)", "count(DISTINCT state)",
                 "min(ts)", "total(ok)", "delta(ts, ts)"});
  }
  std::string Key() { return Pick({"", " DESC"}); }
  std::string Table() { return Pick({"{}", "{}", "{}_minutes", "{}_last"}); }
  // The rest of an order after which no two points are equal.
  std::string TotalOrder(const std::string& table) {
    if (one_point_a_time_ && table != "{}_minutes" && Chance(2)) return "ts" + Key();
    switch (rng_.Below(6)) {
      case 0: return "device, unit, ts" + Key();
      case 1: return "device" + Key() + ", unit, ts" + Key();
      case 2: return "unit, device, ts" + Key();
      case 3: return "ts" + Key() + ", device, unit";
      case 4: return "device COLLATE NOCASE, unit" + Key() + ", ts" + Key() + ", device";
      default: return "device, ts" + Key() + ", unit";
    }
  }
  Query Rows(const std::string& where) {
    const std::string what = Pick({"device, unit, ts, v, n, ok, state", "device, unit, ts, v",
                                   "ts, device, unit, typeof(n), state", "device, unit, ts",
                                   "typeof(v), v, ts, device, unit, ok"});
    const std::string table = Table();
    std::string sql = "SELECT " + what + " FROM " + table + " WHERE ";
    if (Chance(3)) {
      // One series, in the order of time.
      sql += Series("") + " AND " + OnTime() + " ORDER BY " +
             Pick({"ts", "ts DESC", "unit, ts", "device, ts DESC", "device DESC, ts",
                   "unit DESC, device, ts DESC"});
    } else if (Chance(5)) {
      return {sql + where, false};
    } else {
      // SQLite leaves a column out of the order that equals a value, also if that is a number and the
      // column has several texts. A plain table then tells rows in another order than was asked for.
      const bool has_number = where.find("device = CAST") != std::string::npos ||
                              where.find("device = (SELECT") != std::string::npos;
      std::string order = TotalOrder(table);
      if (const size_t at = order.find("device"); has_number && at != std::string::npos) {
        order.insert(at, "+");
      }
      sql += where + " ORDER BY " + order;
    }
    if (Chance(2)) sql += " LIMIT " + std::to_string(rng_.Below(30));
    if (sql.find("LIMIT") != std::string::npos && Chance(2)) {
      sql += " OFFSET " + std::to_string(rng_.Below(10));
    }
    return {sql, true};
  }
  Query Join() {
    const std::string column = Pick({"i", "t", "a", "r"});
    switch (rng_.Below(6)) {
      case 0:
        return {"SELECT k.rowid, x.device, x.unit, x.ts FROM k JOIN {} AS x ON x.device = k." +
                    column + " WHERE " + Range("x.") + " ORDER BY k.rowid, x.ts, +x.device, x.unit",
                true};
      case 1:
        return {"SELECT k.rowid, x.device, x.ts, x.v FROM k LEFT JOIN {} AS x ON x.unit = k." +
                    column + " AND x.device = 'a' AND " + Range("x."),
                false};
      case 2:
        return {
            "SELECT x.device, x.unit, x.ts, y.v FROM {} AS x JOIN {} AS y ON x.device = "
            "y.device AND x.unit = y.unit AND y.ts = x.ts - 3000 WHERE " +
                Range("x.") + " ORDER BY x.device, x.unit, x.ts DESC",
            true};
      case 3:
        return {
            "SELECT k.rowid, x.device, x.unit, x.ts FROM {} AS x RIGHT JOIN k ON x.device = "
            "k." +
                column + " AND x.ts > " + Time(),
            false};
      case 4:
        return {
            "SELECT x.ts, x.device, x.unit FROM k CROSS JOIN {} AS x WHERE k.i = 5 AND "
            "x.device = k." +
                column + " AND x.unit = 1 AND " + Range("x.") + " ORDER BY x.ts" + Key() +
                (one_point_a_time_ ? "" : ", +x.device"),
            true};
      default:
        return {"SELECT k.rowid, (SELECT v FROM {} WHERE device = k.t AND unit = 1 AND ts <= " +
                    Time() + " ORDER BY ts DESC LIMIT 1) FROM k",
                false};
    }
  }

  Rng rng_;
  const bool one_point_a_time_;  // in all series together
  uint64_t now_ = 0;
};

constexpr char kAll[] =
    "SELECT device, unit, ts, v, n, ok, state, typeof(v), typeof(n), typeof(state) FROM {} ORDER "
    "BY device, unit, ts";

// A statement of the history, on both tables. Some are undone.
void Change(Connection* c, Generator* generator, bool is_undone) {
  const std::string sql = generator->Statement();
  if (is_undone) c->Must("SAVEPOINT s");
  const std::string plain = c->Run(For(sql, "p"));
  const std::string series = c->Run(For(sql, "m"));
  ASSERT_EQ(series.empty(), plain.empty()) << sql.substr(0, 400) << "\n" << series << plain;
  if (is_undone) c->Must("ROLLBACK TO s; RELEASE s");
  if (is_undone || sql.starts_with("UPDATE") || sql.starts_with("DELETE")) {
    ASSERT_EQ(c->Run(For(kAll, "m")), c->Run(For(kAll, "p"))) << "after " << sql;
  }
}

void Ask(Connection* c, const Generator::Query& query) {
  std::string expected = c->Run(For(query.sql, "p"));
  std::string answer = c->Run(For(query.sql, "m"));
  if (!query.ordered) {
    expected = SortedLines(expected);
    answer = SortedLines(answer);
  }
  ASSERT_EQ(answer, expected) << query.sql;
}

void Compare(uint64_t seed, const std::string& path) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::remove(path.c_str());
  Connection c(path);
  Connection reader(path, {.charge = nullptr, .writes = false});
  c.Run("PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF");
  c.Must(kCreateSeries[seed % 3 == 0 ? 1 : 0]);
  c.Must(kCreatePlain);
  Generator generator(seed);
  for (int i = 0; i < 60; ++i) {
    const std::string parameters = generator.Parameters();
    c.Bind(parameters);
    reader.Bind(parameters);
    ASSERT_NO_FATAL_FAILURE(Change(&c, &generator, i % 7 == 6));
    for (int j = 0; j < 6; ++j) {
      ASSERT_NO_FATAL_FAILURE(Ask(j % 2 == 0 ? &c : &reader, generator.Question()));
    }
  }
  ASSERT_EQ(c.Run(For(kAll, "m")), c.Run(For(kAll, "p")));
  ASSERT_EQ(c.Run("SELECT device, unit, ts, points, v_sum FROM m_1m ORDER BY 1, 2, 3"),
            c.Run("SELECT device, unit, time_bucket('1m', ts), count(*), sum(v) FROM p GROUP BY 1, "
                  "2, 3 ORDER BY 1, 2, 3"));
}

// CAIRN_SERIES_SEEDS=N tries N more.
TEST(TimeSeriesDifferential, AnswersLikeAPlainTable) {
  constexpr uint64_t kSeeds = 30;
  const char* const more = std::getenv("CAIRN_SERIES_SEEDS");
  const uint64_t seeds = kSeeds + (more == nullptr ? 0 : std::strtoull(more, nullptr, 10));
  char path[] = "/tmp/cairn-timeseries-XXXXXX";
  ASSERT_GE(::mkstemp(path), 0);
  for (uint64_t seed = 1; seed <= seeds && !HasFatalFailure(); ++seed) Compare(seed, path);
  std::remove(path);
}

}  // namespace
}  // namespace cairn::timeseries
