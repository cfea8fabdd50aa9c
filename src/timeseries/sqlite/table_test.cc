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

// '5', '05' and '5.0' equal the number 5, so the series are told in one order.
TEST(TimeSeries, SeriesThatEqualANumberComeInOneOrder) {
  Connection c;
  c.Must(kCreate);
  c.Must(kCreatePlain);
  c.Must("CREATE TABLE k(i INTEGER, a); INSERT INTO k VALUES(5, 5), (7, '05')");
  for (const std::string table : {"m", "p"}) {
    c.Must("INSERT INTO " + table +
           "(device, sensor, ts, n) SELECT CASE bucket % 4 WHEN 0 THEN '5' WHEN 1 THEN '05' WHEN 2 "
           "THEN '5.0' ELSE 'x' END, iif(bucket % 8 < 4, 's', 't'), bucket * 1000, bucket FROM "
           "time_buckets(0, 4000, 1)");
  }
  for (const char* rest :
       {"WHERE device = CAST(5 AS INTEGER) AND sensor = 's' ORDER BY ts",
        "WHERE device = CAST(5 AS INTEGER) AND sensor = 's' ORDER BY ts DESC LIMIT 9",
        "WHERE device = CAST(5 AS REAL) AND sensor = 't' AND ts > 1000000 ORDER BY ts LIMIT 100",
        "WHERE device = CAST(5 AS INTEGER) ORDER BY sensor, ts",
        "WHERE device = 5 AND sensor = 's' ORDER BY ts", "JOIN k ON device = i ORDER BY sensor, ts",
        "JOIN k ON device = i WHERE sensor = 's' ORDER BY ts DESC",
        "JOIN k ON device = a WHERE sensor = 's' ORDER BY ts",
        "WHERE device IN (SELECT i FROM k) AND sensor = 's' ORDER BY ts"}) {
    const std::string columns = "SELECT device, sensor, ts, n FROM ";
    EXPECT_EQ(c.Run(columns + "m " + rest), c.Run(columns + "p " + rest)) << rest;
  }
  EXPECT_EQ(c.Run("SELECT device, ts FROM m WHERE device = CAST(5 AS INTEGER) AND sensor = 's' AND "
                  "is_last = 1 ORDER BY ts DESC"),
            "5.0|3994000\n05|3993000\n5|3992000\n");
  for (int zeros = 2; zeros < 40; ++zeros) {
    c.Must("INSERT INTO m(device, sensor, ts) VALUES('" + std::string(zeros, '0') + "5', 's', 1)");
  }
  EXPECT_EQ(
      c.Run("SELECT ts FROM m WHERE device = CAST(5 AS INTEGER) AND sensor = 's' ORDER BY ts"),
      "error: the number equals a tag of more than 32 series: compare the tag with a text");
}

// SQLite does not know that the rollup changes with the time series, so it does not read it first.
TEST(TimeSeries, ARollupIsNotReadWhileItsTimeSeriesIsWritten) {
  Connection c;
  c.Must(
      "CREATE VIRTUAL TABLE m USING timeseries(device TEXT TAG, ts TIMESTAMP_MS, v REAL, "
      "rollups='1m,1h'); CREATE TABLE t(x INTEGER PRIMARY KEY); INSERT INTO t VALUES(1), (2), (3)");
  c.Must("INSERT INTO m SELECT 'a', bucket, bucket / 60000.0 FROM time_buckets(0, 6000000, 60000)");
  const std::string before = c.Run("SELECT count(*), sum(v) FROM m");
  const std::string refused = "error: the statement reads the rollup m_1m while it writes the";
  for (const char* sql :
       {"INSERT INTO m SELECT 'b', ts + 6000000, v_sum FROM m_1m",
        "INSERT INTO m SELECT 'a', ts + 6000000, v_sum FROM m_1m",
        "INSERT INTO m SELECT 'b' || x, ts, v_sum FROM t CROSS JOIN m_1m WHERE ts < 120000",
        "INSERT INTO m SELECT 'b', x, (SELECT max(v_max) FROM m_1m WHERE ts >= x) FROM t",
        "INSERT INTO m VALUES('b', 1, (SELECT sum(points) FROM m_1m)), ('b', 2, (SELECT "
        "sum(points) FROM m_1m))"}) {
    EXPECT_EQ(c.Run(sql).substr(0, refused.size()), refused) << sql;
    EXPECT_EQ(c.Run("SELECT count(*), sum(v) FROM m"), before) << sql;
  }
  c.Must(
      "WITH r AS MATERIALIZED (SELECT ts, v_sum FROM m_1m) INSERT INTO m SELECT 'b', ts, v_sum "
      "FROM "
      "r");
  c.Must("INSERT INTO m SELECT 'c', ts, v FROM m WHERE device = 'a'");
  c.Must("UPDATE m SET v = (SELECT v_sum + 1 FROM m_1h WHERE device = 'a' AND m_1h.ts = 0)");
  c.Must(
      "DELETE FROM m WHERE EXISTS (SELECT 1 FROM m_1m WHERE device = 'b' AND ts = m.ts + 60000)");
  EXPECT_EQ(c.Run("SELECT device, count(*), min(v), max(v) FROM m GROUP BY 1"),
            "a|1|1771.0|1771.0\nb|1|1771.0|1771.0\nc|1|1771.0|1771.0\n");
  // A trigger reads what its earlier statements have written.
  c.Must(
      "CREATE TABLE log(x); CREATE TRIGGER g AFTER INSERT ON t BEGIN INSERT INTO m VALUES('z', "
      "new.x * 60000, 1); INSERT INTO log SELECT count(*) FROM m_1m WHERE device = 'z'; END");
  c.Must("INSERT INTO t VALUES(10), (11), (12)");
  EXPECT_EQ(c.Run("SELECT x FROM log"), "1\n2\n3\n");
}

TEST(TimeSeries, UpdatesFromOtherTablesAreThoseOfAPlainTable) {
  Connection c;
  c.Must(kCreate);
  c.Must(kCreatePlain);
  c.Must(
      "CREATE TABLE t(d, s, x); INSERT INTO t VALUES('a', 's', 10), ('b', 's', 20), ('a', 's', "
      "30), "
      "('b', 't', 40)");
  for (const std::string table : {"m", "p"}) {
    c.Must(
        "INSERT INTO " + table +
        "(device, sensor, ts, value, n) SELECT char(97 + bucket % 3), iif(bucket % 2, 's', 't'), "
        "bucket * 1000, bucket, 0 FROM time_buckets(0, 3000, 1)");
  }
  for (const char* sql :
       {"UPDATE {} SET n = t.x FROM t WHERE t.d = {}.device AND t.s = {}.sensor",
        "UPDATE {} SET value = o.value + 1, n = {}.n + 1 FROM {} AS o WHERE o.device = 'b' AND "
        "o.sensor = {}.sensor AND o.ts = {}.ts + 1000 AND {}.device = 'a'",
        "UPDATE {} SET ts = {}.ts + 100 * t.x FROM t WHERE t.x = 40 AND t.d = {}.device AND t.s = "
        "{}.sensor",
        "UPDATE {} SET device = device || 'x' FROM (SELECT max(x) AS x FROM t) WHERE ts > x * "
        "50000",
        "UPDATE OR IGNORE {} SET ts = 7000 FROM t WHERE t.x = 20 AND {}.device = 'cx'",
        "UPDATE t SET x = {}.n FROM {} WHERE {}.device = t.d AND {}.sensor = t.s AND {}.ts = "
        "1000"}) {
    for (const std::string table : {"m", "p"}) {
      std::string text = sql;
      for (size_t at = 0; (at = text.find("{}", at)) != std::string::npos;) {
        text.replace(at, 2, table);
      }
      c.Must(text);
    }
    const std::string rest = " ORDER BY device, sensor, ts";
    ASSERT_EQ(c.Run("SELECT * FROM m" + rest), c.Run("SELECT * FROM p" + rest)) << sql;
  }
  EXPECT_EQ(c.Run("UPDATE m SET ts = m.ts + 1 + t.x FROM t WHERE t.d = m.device AND m.ts = 3000"),
            "error: UPDATE ... FROM finds a point several times, and changes its tags or its time");
  EXPECT_EQ(c.Run("UPDATE m SET is_last = 0 WHERE ts = 3000").substr(0, 24),
            "error: is_last cannot be");
}

TEST(TimeSeries, AForeignKeyToItsStorageIsRefusedWhicheverComesFirst) {
  Connection c;
  c.Must("PRAGMA foreign_keys = ON; CREATE TABLE c(x REFERENCES M_Tail(series))");
  EXPECT_EQ(
      c.Run(kCreate),
      "error: a foreign key of the table c refers to m_tail, which is to be storage of a time "
      "series");
  c.Must("CREATE TABLE d(x REFERENCES other_1m_blocks)");
  c.Must("CREATE VIRTUAL TABLE o USING timeseries(ts TIMESTAMP_MS, value REAL, rollups='1m')");
  EXPECT_EQ(c.Run("ALTER TABLE o RENAME TO other").substr(0, 40),
            "error: a foreign key of the table d refe");
  EXPECT_EQ(c.Run("CREATE VIRTUAL TABLE other USING timeseries(ts TIMESTAMP_MS, value REAL, "
                  "rollups='1m')")
                .substr(0, 40),
            "error: a foreign key of the table d refe");
  EXPECT_EQ(c.Run("ALTER TABLE o RENAME TO m").substr(0, 40),
            "error: a foreign key of the table c refe");
  c.Must("INSERT INTO o VALUES(1, 2); DROP TABLE c; DROP TABLE d; ALTER TABLE o RENAME TO m");
  EXPECT_EQ(c.Run("SELECT ts, value FROM m"), "1|2.0\n");
}

// The work to read the last point of each series: more for more columns.
TEST(TimeSeries, TheLastPointOfABlockIsChargedByTheColumnsThatAreRead) {
  uint64_t steps = 0;
  ModuleOptions options;
  options.charge = [&steps](uint64_t more) { return (steps += more) < 1'000'000'000; };
  Connection c(":memory:", options);
  c.Must(kCreate);
  c.Must(kMany);
  c.Must("DELETE FROM m WHERE ts > 511000");  // no tail is left
  const auto cost = [&](const std::string& sql) {
    c.Run(sql);
    steps = 0;
    c.Run(sql);
    return steps;
  };
  const uint64_t none = cost("SELECT ts FROM m WHERE is_last = 1");
  const uint64_t all = cost("SELECT * FROM m WHERE is_last = 1");
  EXPECT_GE(none, 256U);
  EXPECT_GE(all, none + 4 * 256);
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
