#include "timeseries/sqlite/module.h"

#include <algorithm>
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

std::string Hex(const std::string& bytes) {
  std::string hex;
  for (const char each : bytes) {
    char digits[3];
    std::snprintf(digits, sizeof(digits), "%02x", static_cast<unsigned char>(each));
    hex += digits;
  }
  return hex;
}

// ---- Declarations -------------------------------------------------------------------------------

TEST(TimeSeries, ADeclarationReadsLikeSql) {
  Connection c;
  EXPECT_EQ(c.Run("CREATE VIRTUAL TABLE a USING timeseries(\"my device\" TEXT TAG, unit INTEGER "
                  "TAG, at TIMESTAMP_US, [a b] REAL, c boolean)"),
            "");
  EXPECT_EQ(c.Run("SELECT name, type FROM pragma_table_info('a')"),
            "my device|TEXT\nunit|INTEGER\nat|INTEGER\na b|REAL\nc|INTEGER\n");
  EXPECT_EQ(c.Run("INSERT INTO a VALUES('x', 7, 1000000, 1.5, TRUE); SELECT * FROM a"),
            "x|7|1000000|1.5|1\n");
}

TEST(TimeSeries, ADeclarationThatIsWrongSaysWhatIsRight) {
  Connection c;
  const auto create = [&c](const std::string& columns) {
    return c.Run("CREATE VIRTUAL TABLE a USING timeseries(" + columns + ")");
  };
  EXPECT_EQ(create("d TEXT TAG, v REAL"),
            "error: a time series has exactly one column of type TIMESTAMP_MS or TIMESTAMP_US");
  EXPECT_EQ(create("ts TIMESTAMP_MS, v FLOAT"),
            "error: column v of a time series: \"FLOAT\" is not one of TEXT TAG, INTEGER TAG, "
            "TIMESTAMP_MS, TIMESTAMP_US, REAL, INTEGER, TEXT, BOOLEAN");
  EXPECT_EQ(create("ts TIMESTAMP_MS, v REAL, V REAL"),
            "error: the name V is taken: columns of a time series differ in more than case, and "
            "block and is_last are columns of every time series");
  EXPECT_EQ(create("ts TIMESTAMP_MS, v REAL, speed='fast'"),
            "error: a time series has no option speed");
}

// ---- Points -------------------------------------------------------------------------------------

TEST(TimeSeries, PointsAreReadBackAsTheyWereWritten) {
  Connection c;
  c.Must(kCreate);
  c.Must(
      "INSERT INTO m VALUES('a', 't', 1000, 21.5, 'on', 7, TRUE), ('a', 't', 2000, 21, NULL, "
      "NULL, 0), ('b', 't', 1000, '3.25', '', '-4', NULL)");
  EXPECT_EQ(c.Run("SELECT *, typeof(value), is_last FROM m"),
            "a|t|1000|21.5|on|7|1|real|0\na|t|2000|21.0|NULL|NULL|0|real|1\n"
            "b|t|1000|3.25||-4|NULL|real|1\n");
}

TEST(TimeSeries, AValueOfAnotherTypeIsRefused) {
  Connection c;
  c.Must(kCreate);
  const auto insert = [&c](const std::string& values) {
    return c.Run("INSERT INTO m VALUES(" + values + ")");
  };
  EXPECT_EQ(insert("'a', 't', 1000, 'warm', NULL, NULL, NULL"),
            "error: column value of the time series takes real numbers");
  EXPECT_EQ(insert("'a', 't', 1000, 9e999, NULL, NULL, NULL"),
            "error: column value of the time series takes no NaN and no infinity");
  EXPECT_EQ(insert("'a', 't', 1000, 1, NULL, 1.5, NULL"),
            "error: column n of the time series takes integers");
  EXPECT_EQ(insert("'a', 't', 1000, 1, NULL, 1, 2"),
            "error: column ok of the time series takes 0 and 1 (FALSE and TRUE)");
  EXPECT_EQ(insert("'a', 't', 1000, 1, X'00', 1, 1"),
            "error: column state of the time series takes texts");
  EXPECT_EQ(insert("'a', NULL, 1000, 1, NULL, 1, 1"),
            "error: column sensor of the time series takes no NULL: it is a tag");
  EXPECT_EQ(insert("'a', 't', NULL, 1, NULL, 1, 1"),
            "error: column ts of the time series takes integers: milliseconds since 1970");
  EXPECT_EQ(insert("'a', 't', 1700000000000000, 1, NULL, 1, 1"),
            "error: the time 1700000000000000 is out of range: times are in milliseconds since "
            "1970, from -62167219200000 to 253402300799999 (the years 0000 to 9999)");
  EXPECT_EQ(insert("'a', 't', 1000, 1, '" + std::string(256, 'x') + "', 1, 1"),
            "error: column state: a text of a time series has at most 255 bytes");
  EXPECT_EQ(c.Run("SELECT count(*) FROM m"), "0\n");
}

TEST(TimeSeries, TagsThatDifferOnlyInCaseAreRefused) {
  Connection c;
  c.Must(kCreate);
  c.Must("INSERT INTO m(device, sensor, ts) VALUES('Pump', 't', 1000)");
  EXPECT_EQ(c.Run("INSERT INTO m(device, sensor, ts) VALUES('pump', 't', 2000)"),
            "error: the tags differ only in case from those of a series that exists: use its tags");
  EXPECT_EQ(c.Run("SELECT count(*) FROM m WHERE device = 'pump'"), "0\n");
  EXPECT_EQ(c.Run("SELECT count(*) FROM m WHERE device = 'pump' COLLATE NOCASE"), "1\n");
}

TEST(TimeSeries, ATimeThatIsTakenIsAConflict) {
  Connection c;
  c.Must(kCreate);
  c.Must("INSERT INTO m(device, sensor, ts, value) VALUES('a', 't', 1000, 1)");
  EXPECT_EQ(c.Run("INSERT INTO m(device, sensor, ts, value) VALUES('a', 't', 2000, 2), ('a', 't', "
                  "1000, 3)"),
            "error: the series has a point with the time 1000 already; INSERT OR REPLACE replaces "
            "it (ON CONFLICT DO UPDATE does not work on virtual tables)");
  EXPECT_EQ(c.Run("SELECT ts, value FROM m"), "1000|1.0\n");
  c.Must("INSERT OR IGNORE INTO m(device, sensor, ts, value) VALUES('a', 't', 1000, 3)");
  EXPECT_EQ(c.Run("SELECT ts, value FROM m"), "1000|1.0\n");
  c.Must("INSERT OR REPLACE INTO m(device, sensor, ts, value) VALUES('a', 't', 1000, 3)");
  EXPECT_EQ(c.Run("SELECT ts, value FROM m"), "1000|3.0\n");
}

TEST(TimeSeries, RowidsAndHiddenColumnsAreNotWritten) {
  Connection c;
  c.Must(kCreate);
  c.Must("INSERT INTO m(device, sensor, ts) VALUES('a', 't', 1000)");
  EXPECT_EQ(c.Run("DELETE FROM m WHERE rowid = 1"),
            "error: a time series has no rowids: name points by tags and time");
  EXPECT_EQ(c.Run("INSERT INTO m(rowid, device, sensor, ts) VALUES(5, 'a', 't', 2000)"),
            "error: a time series has no rowids");
  EXPECT_EQ(c.Run("UPDATE m SET is_last = 0"),
            "error: is_last cannot be written: it tells the last point of each series");
}

TEST(TimeSeries, ShadowTablesAreNotWrittenByClients) {
  Connection c;
  c.Must(kCreate);
  EXPECT_EQ(c.Run("DELETE FROM m_blocks"), "error: table m_blocks may not be modified");
}

// ---- Storage ------------------------------------------------------------------------------------

constexpr char kMany[] =
    "INSERT INTO m(device, sensor, ts, value) WITH RECURSIVE i(x) AS (SELECT 0 UNION ALL SELECT x "
    "+ 1 FROM i WHERE x < 2999) SELECT 'a', 't', x * 1000, x % 100 / 10.0 FROM i;";

TEST(TimeSeries, ATailGivesItsOldestPointsToBlocks) {
  Connection c;
  c.Must(kCreate);
  c.Must(kMany);
  EXPECT_EQ(c.Run("SELECT first, last, points FROM m_blocks"),
            "0|511000|512\n512000|1023000|512\n1024000|1535000|512\n1536000|2047000|512\n"
            "2048000|2559000|512\n");
  EXPECT_EQ(c.Run("SELECT count(*), min(time) FROM m_tail"), "440|2560000\n");
  EXPECT_EQ(c.Run("SELECT count(*), min(ts), max(ts), sum(value) FROM m"),
            "3000|0|2999000|14850.0\n");
  EXPECT_EQ(c.Run("SELECT count(*), min(ts), max(ts) FROM m WHERE ts BETWEEN 511500 AND 2560000"),
            "2049|512000|2560000\n");
  EXPECT_EQ(
      c.Run("SELECT ts FROM m WHERE device = 'a' AND sensor = 't' AND ts < 513000 ORDER BY ts "
            "DESC LIMIT 3"),
      "512000\n511000\n510000\n");
  EXPECT_EQ(c.Run("SELECT ts, value FROM m WHERE is_last = 1"), "2999000|9.9\n");
  EXPECT_EQ(c.Run("SELECT ts FROM m WHERE is_last = 0 ORDER BY ts DESC LIMIT 1"), "2998000\n");
}

TEST(TimeSeries, TheOrderOfOneSeriesNeedsNoSorter) {
  Connection c;
  c.Must(kCreate);
  const auto plan = [&c](const std::string& sql) {
    return c.Run("EXPLAIN QUERY PLAN " + sql).find("B-TREE") == std::string::npos;
  };
  EXPECT_TRUE(plan("SELECT * FROM m WHERE device = 'a' AND sensor = 't' ORDER BY ts DESC LIMIT 1"));
  EXPECT_TRUE(plan("SELECT device, avg(value) FROM m GROUP BY device"));
  EXPECT_TRUE(plan("SELECT * FROM m WHERE device = 'a' ORDER BY sensor, ts"));
  EXPECT_TRUE(plan("SELECT * FROM m ORDER BY device, sensor, ts"));
  EXPECT_FALSE(plan("SELECT * FROM m ORDER BY ts"));
  EXPECT_FALSE(plan("SELECT * FROM m ORDER BY sensor, device"));
}

TEST(TimeSeries, ABlockIsStoredAsItComes) {
  Connection c;
  c.Must("CREATE VIRTUAL TABLE m USING timeseries(device TEXT TAG, ts TIMESTAMP_MS, value REAL)");
  Block block;
  block.columns.resize(1);
  for (int i = 0; i < 256; ++i) {
    block.times.push_back(100'000 + i * 1000);
    block.columns[0].reals.push_back(i / 100.0);
  }
  std::string bytes;
  ASSERT_TRUE(EncodeBlock(block, &bytes).ok());
  const std::string insert = "INSERT INTO m(device, block) VALUES('a', X'" + Hex(bytes) + "')";
  c.Must("INSERT INTO m VALUES('a', 5, 0.5)");  // sealed before the block
  c.Must(insert);
  EXPECT_EQ(c.Run("SELECT first, points, hex(data) = upper('" + Hex(bytes) + "') FROM m_blocks"),
            "5|1|0\n100000|256|1\n");
  EXPECT_EQ(c.Run("SELECT count(*), sum(value) FROM m"), "257|326.9\n");
  EXPECT_EQ(c.Run(insert).substr(0, 53), "error: the series has a point with the time 100000 al");
  c.Must("INSERT OR REPLACE INTO m(device, block) VALUES('a', X'" + Hex(bytes) + "')");
  EXPECT_EQ(c.Run("SELECT count(*), sum(value) FROM m"), "257|326.9\n");
  bytes[20] = static_cast<char>(bytes[20] ^ 1);
  EXPECT_EQ(c.Run("INSERT INTO m(device, block) VALUES('b', X'" + Hex(bytes) + "')"),
            "error: malformed block of a time series: its checksum does not fit");
  EXPECT_EQ(c.Run("INSERT INTO m(device, ts, block) VALUES('b', 1, X'00')"),
            "error: a block comes as a blob, with tags and without times and values");
  c.Must("CREATE VIRTUAL TABLE o USING timeseries(device TEXT TAG, ts TIMESTAMP_US, value REAL)");
  bytes[20] = static_cast<char>(bytes[20] ^ 1);
  EXPECT_EQ(c.Run("INSERT INTO o(device, block) VALUES('b', X'" + Hex(bytes) + "')"),
            "error: the block has another unit of time, or other columns, than the time series");
}

TEST(TimeSeries, DropAndRenameTakeTheStorageAlong) {
  Connection c;
  c.Must(kCreate);
  c.Must(kMany);
  c.Must("ALTER TABLE m RENAME TO other");
  EXPECT_EQ(c.Run("SELECT count(*) FROM other"), "3000\n");
  c.Must("DROP TABLE other");
  EXPECT_EQ(c.Run("SELECT count(*) FROM sqlite_schema"), "0\n");
}

// ---- Equality with a plain table ----------------------------------------------------------------

// Draws statements that mean the same for both tables. {} stands for the table.
class Statements {
 public:
  explicit Statements(uint64_t seed) : rng_(seed) {}

  std::string Next() {
    switch (rng_.Below(12)) {
      case 0: return "DELETE FROM {} WHERE " + Range();
      case 1: return "DELETE FROM {} WHERE ts % 7 = 0 AND " + Range();
      case 2: return "UPDATE {} SET value = value + 0.25, state = NULL WHERE " + Range();
      case 3:
        return "UPDATE OR REPLACE {} SET ts = ts + 1500 WHERE " + Series() + " AND ts = " + Time();
      case 4: return "INSERT OR IGNORE INTO {} " + Points(1 + rng_.Below(5));
      case 5: now_ += 100; return "INSERT OR REPLACE INTO {} " + Points(1 + rng_.Below(40));
      case 6: return "INSERT INTO {} " + Points(2);
      default: return Burst();
    }
  }
  std::string Question() {
    switch (rng_.Below(6)) {
      case 0: return "SELECT * FROM {} WHERE " + Range() + " ORDER BY device, sensor, ts";
      case 1:
        return "SELECT * FROM {} WHERE " + Series() + " AND ts >= " + Time() +
               " ORDER BY ts LIMIT 5";
      case 2:
        return "SELECT * FROM {} WHERE " + Series() + " AND ts < " + Time() +
               " ORDER BY ts DESC LIMIT 5 OFFSET 2";
      case 3: return "SELECT device, sum(n), count(value), max(ts) FROM {} GROUP BY device";
      case 4:
        return "SELECT * FROM {} WHERE device IN ('d1', 'd0', 'none') AND ts BETWEEN 5.5 AND " +
               Time() + " ORDER BY ts, device, sensor";
      default: return "SELECT * FROM {} WHERE " + Series() + " AND ts = " + Time();
    }
  }

 private:
  std::string Device() { return "d" + std::to_string(rng_.Below(2)); }
  std::string Series() { return "device = '" + Device() + "' AND sensor = 's'"; }
  std::string Time() {
    return std::to_string(rng_.Below(2) == 0 ? rng_.Below(now_ + 1) * 1000 : now_ * 1000);
  }
  std::string Range() {
    const uint64_t from = rng_.Below(now_ + 1);
    const uint64_t until = from + rng_.Below(rng_.Below(8) == 0 ? now_ + 1 : 50);
    return "ts >= " + std::to_string(from * 1000) + " AND ts < " + std::to_string(until * 1000) +
           (rng_.Below(2) == 0 ? "" : " AND " + Series());
  }
  std::string Values(uint64_t time) {
    constexpr const char* kStates[] = {"NULL", "'on'", "'off'", "'in doubt'"};
    const std::string real = rng_.Below(30) == 0 ? std::to_string(rng_.Next()) + "e-17"
                                                 : std::to_string(rng_.Below(5000)) + "/100.0";
    return std::to_string(time) + ", " + (rng_.Below(20) == 0 ? "NULL" : real) + ", " +
           kStates[rng_.Below(4)] + ", " + std::to_string(rng_.Below(100)) + ", " +
           std::to_string(rng_.Below(2));
  }
  std::string Points(uint64_t count) {  // of any age
    std::string sql = "VALUES";
    for (uint64_t i = 0; i < count; ++i) {
      sql += (i == 0 ? "('" : ", ('") + Device() + "', 's', " +
             Values(rng_.Below(now_ + 10) * 1000 + rng_.Below(2)) + ")";
    }
    return sql;
  }
  std::string Burst() {  // of new points
    const std::string device = Device();
    std::string sql = "INSERT OR REPLACE INTO {} VALUES";
    const uint64_t count = 1 + rng_.Below(300);
    for (uint64_t i = 0; i < count; ++i) {
      sql += (i == 0 ? "('" : ", ('") + device + "', 's', " + Values(++now_ * 1000) + ")";
    }
    return sql;
  }

  Rng rng_;
  uint64_t now_ = 0;
};

std::string For(const std::string& sql, const std::string& table) {
  std::string out = sql;
  out.replace(out.find("{}"), 2, table);
  return out;
}

std::string AllOf(const std::string& table) {
  return "SELECT *, typeof(value) FROM " + table + " ORDER BY device, sensor, ts";
}

TEST(TimeSeries, HoldsWhatAPlainTableHoldsAfterAnyHistory) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    Connection c;
    c.Must(kCreate);
    c.Must(kCreatePlain);
    Statements statements(seed);
    for (int i = 0; i < 80; ++i) {
      const std::string sql = statements.Next();
      const bool plain_failed = !c.Run(For(sql, "p")).empty();
      ASSERT_EQ(!c.Run(For(sql, "m")).empty(), plain_failed) << seed << ": " << sql.substr(0, 200);
      const std::string question = statements.Question();
      ASSERT_EQ(c.Run(For(question, "m")), c.Run(For(question, "p"))) << question;
      if (i % 20 != 0) continue;
      ASSERT_EQ(c.Run(AllOf("m")), c.Run(AllOf("p"))) << sql.substr(0, 200);
    }
    ASSERT_EQ(c.Run(AllOf("m")), c.Run(AllOf("p"))) << seed;
    EXPECT_NE(c.Run("SELECT count(*) FROM m_blocks"), "0\n");
  }
}

// What lies in the tables of the storage.
std::string Storage(Connection& c) {
  return c.Run(
      "SELECT * FROM m_series; SELECT * FROM m_tail; SELECT id, series, first, last, "
      "points, hex(data) FROM m_blocks");
}

TEST(TimeSeries, StorageIsAFunctionOfTheStatementsAlone) {
  char path[] = "/tmp/cairn-timeseries-XXXXXX";
  ASSERT_GE(::mkstemp(path), 0);
  for (uint64_t seed = 11; seed <= 12; ++seed) {
    std::remove(path);
    Connection warm;
    warm.Must(kCreate);
    auto fresh = std::make_unique<Connection>(path);
    fresh->Must(kCreate);
    Statements statements(seed);
    Rng rng(seed);
    for (int i = 0; i < 60; ++i) {
      const std::string sql = For(statements.Next(), "m");
      warm.Run(sql);
      switch (rng.Below(4)) {
        case 0:  // undone, and done again
          fresh->Must("SAVEPOINT s");
          fresh->Run(sql);
          fresh->Run(For(statements.Next(), "m"));
          fresh->Must("ROLLBACK TO s; RELEASE s");
          warm.Must("SAVEPOINT s; ROLLBACK TO s; RELEASE s");
          fresh->Run(sql);
          break;
        case 1:
          fresh = nullptr;
          fresh = std::make_unique<Connection>(path);
          fresh->Run(sql);
          break;
        case 2:
          fresh->Must("BEGIN");
          fresh->Run(sql);
          if (sqlite3_get_autocommit(fresh->db()) == 0) fresh->Must("COMMIT");
          break;
        default: fresh->Run(sql);
      }
    }
    ASSERT_EQ(Storage(warm), Storage(*fresh)) << seed;
  }
  std::remove(path);
}

}  // namespace
}  // namespace cairn::timeseries
