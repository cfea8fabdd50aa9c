// What time series answer where a plain table would answer otherwise if they were careless.

#include "timeseries/sqlite/table.h"

#include <cstdio>
#include <cstdlib>

#include "base/rng.h"
#include "timeseries/sqlite/connection_test_util.h"

namespace cairn::timeseries {
namespace {

constexpr char kCreate[] =
    "CREATE VIRTUAL TABLE m USING timeseries(device TEXT TAG, sensor TEXT TAG, ts TIMESTAMP_MS, "
    "value REAL, state TEXT, n INTEGER, ok BOOLEAN);";
constexpr char kCreatePlain[] =
    "CREATE TABLE p(device TEXT NOT NULL, sensor TEXT NOT NULL, ts INTEGER NOT NULL, value REAL, "
    "state TEXT, n INTEGER, ok INTEGER, PRIMARY KEY(device, sensor, ts)) WITHOUT ROWID;";
constexpr char kMany[] =
    "INSERT INTO m(device, sensor, ts, value) WITH RECURSIVE i(x) AS (SELECT 0 UNION ALL SELECT x "
    "+ 1 FROM i WHERE x < 2999) SELECT 'a', 't', x * 1000, x % 100 / 10.0 FROM i;";

// The name of a table is not looked at for braces.
TEST(TimeSeries, NamesMayHoldAnything) {
  Connection c;
  c.Must(kCreate);
  std::string name = "m";
  for (const char* next : {"a{b", "x{tail}", "}", "{", "a\"b", "{tail}{"}) {
    const auto quoted = [](std::string text) {
      for (size_t at = 0; (at = text.find('"', at)) != std::string::npos; at += 2) {
        text.insert(at, 1, '"');
      }
      return '"' + text + '"';
    };
    c.Must("ALTER TABLE " + quoted(name) + " RENAME TO " + quoted(next));
    name = next;
    c.Must("INSERT OR REPLACE INTO " + quoted(name) + "(device, sensor, ts) VALUES('a', 't', 1)");
    EXPECT_EQ(c.Run("SELECT count(*) FROM " + quoted(name)), "1\n");
  }
  c.Must("DROP TABLE \"{tail}{\"");
  EXPECT_EQ(c.Run("SELECT count(*) FROM sqlite_schema"), "0\n");
}

// SQLite remembers rows by their numbers where several conditions may find one.
TEST(TimeSeries, APointThatTwoConditionsFindComesOnce) {
  char path[] = "/tmp/cairn-timeseries-XXXXXX";
  ASSERT_GE(::mkstemp(path), 0);
  Connection c(path);
  Connection reader(path, {.charge = nullptr, .writes = false});
  c.Must(kCreate);
  c.Must(kCreatePlain);
  for (const std::string table : {"m", "p"}) {
    c.Must("INSERT INTO " + table +
           " WITH RECURSIVE i(t) AS (SELECT 0 UNION ALL SELECT t + 1 FROM i WHERE t < 999) SELECT "
           "'d' || (t % 3), 's', t * 1000, t, NULL, t, 1 FROM i");
    c.Must("INSERT INTO " + table +
           " WITH RECURSIVE i(t) AS (SELECT 0 UNION ALL SELECT t + 1 FROM i WHERE t < 999) SELECT "
           "'e', 's', t * 1000, t, NULL, t, 1 FROM i");
  }
  Rng rng(3);
  const auto arm = [&rng] {
    const char* const devices[] = {"d0", "d1", "e", "none"};
    const uint64_t from = rng.Below(1'000'000);
    return std::string("(device = '") + devices[rng.Below(4)] +
           "' AND sensor = 's' AND ts >= " + std::to_string(from) + " AND ts < " +
           std::to_string(from + rng.Below(500'000)) + ")";
  };
  for (int i = 0; i < 60; ++i) {
    const std::string where = " WHERE " + arm() + " OR " + arm() + " OR " + arm();
    const std::string rows = where + " ORDER BY device, ts";
    const std::string plain = c.Run("SELECT device, ts FROM p" + rows);
    ASSERT_EQ(c.Run("SELECT device, ts FROM m" + rows), plain) << where;
    ASSERT_EQ(reader.Run("SELECT device, ts FROM m" + rows), plain) << where;
    c.Must("UPDATE m SET n = n + 1" + where + "; UPDATE p SET n = n + 1" + where);
  }
  EXPECT_EQ(c.Run("SELECT sum(n) FROM m"), c.Run("SELECT sum(n) FROM p"));
  std::remove(path);
}

TEST(TimeSeries, ATextTagIsComparedWithNumbersAsSqlDoes) {
  Connection c;
  c.Must(kCreate);
  c.Must(kCreatePlain);
  for (const std::string table : {"m", "p"}) {
    c.Must("INSERT INTO " + table + "(device, sensor, ts) VALUES('05', 's', 1), ('5', 's', 2)");
  }
  for (const char* where : {"device = CAST(5 AS INTEGER)", "device = 5", "device = '5'"}) {
    const std::string query = std::string(" WHERE ") + where + " ORDER BY device";
    EXPECT_EQ(c.Run("SELECT device FROM m" + query), c.Run("SELECT device FROM p" + query));
  }
}

TEST(TimeSeries, APointThatIsIgnoredDoesNotCount) {
  Connection c;
  c.Must(kCreate);
  c.Must("INSERT INTO m(device, sensor, ts) VALUES('a', 't', 1), ('a', 't', 2)");
  c.Must("INSERT OR IGNORE INTO m(device, sensor, ts) VALUES('a', 't', 1), ('a', 't', 3)");
  EXPECT_EQ(c.Run("SELECT changes()"), "1\n");
  c.Must("UPDATE OR IGNORE m SET ts = 2 WHERE ts IN (1, 3)");
  EXPECT_EQ(c.Run("SELECT changes(), count(*) FROM m"), "0|3\n");
  EXPECT_EQ(c.Run("INSERT OR IGNORE INTO m(device, sensor, ts) VALUES('A', 't', 1)"),
            "error: the tags differ only in case from those of a series that exists: use its tags");
}

// One late point is replaced again and again, each time with a new text.
TEST(TimeSeries, TextsThatWereReplacedAreForgotten) {
  uint64_t steps = 0;
  ModuleOptions options;
  options.charge = [&steps](uint64_t more) { return (steps += more) < 100'000'000; };
  Connection c(":memory:", options);
  c.Must(kCreate);
  c.Must(kMany);
  c.Must(
      "INSERT OR REPLACE INTO m WITH RECURSIVE i(x) AS (SELECT 0 UNION ALL SELECT x + 1 FROM i "
      "WHERE x < 100000) SELECT 'a', 't', 5000, 1, 'text ' || x, 1, 1 FROM i");
  EXPECT_EQ(c.Run("SELECT state FROM m WHERE ts = 5000"), "text 100000\n");
}

// SQLite gives 0 for a row of a virtual table. A block that is written at the end changes nothing.
TEST(TimeSeries, TheStorageLeavesTheLastRowidAlone) {
  Connection c;
  c.Must(kCreate);
  c.Must(kMany);
  c.Must("CREATE TABLE t(x INTEGER PRIMARY KEY); INSERT INTO t VALUES(77)");
  c.Must(
      "INSERT INTO m(device, sensor, ts) WITH RECURSIVE i(x) AS (SELECT 1 UNION ALL SELECT x + 1 "
      "FROM i WHERE x < 900) SELECT 'a', 't', x FROM i");
  EXPECT_EQ(c.Run("SELECT last_insert_rowid()"), "0\n");
}

TEST(TimeSeries, BoundsThatAreNotFiniteAreRefused) {
  Connection c;
  EXPECT_EQ(c.Run("SELECT histogram(5, -9e999, 10, 4)").substr(0, 16), "error: histogram");
  EXPECT_EQ(
      c.Run("SELECT rate(v, t) FROM (SELECT 1 AS v, -9223372036854775807 AS t UNION ALL SELECT 2, "
            "9223372036854775807)"),
      "NULL\n");
}

TEST(TimeSeries, AStoredBlockOfOtherColumnsIsCorruption) {
  Connection c;
  c.Must(kCreate);
  c.Must(kMany);
  sqlite3_db_config(c.db(), SQLITE_DBCONFIG_DEFENSIVE, 0, nullptr);
  c.Must("UPDATE m_blocks SET data = X'01000100000E00000000' WHERE id = 1");
  EXPECT_EQ(c.Run("SELECT sum(value) FROM m"), "error: database disk image is malformed");
  EXPECT_EQ(c.Run("DELETE FROM m WHERE ts = 1000"), "error: database disk image is malformed");
}

}  // namespace
}  // namespace cairn::timeseries
