// Rollups tell at every moment what aggregates of the points tell.

#include <algorithm>

#include "base/rng.h"
#include "timeseries/sqlite/connection_test_util.h"

namespace cairn::timeseries {
namespace {

constexpr char kColumns[] =
    "device TEXT TAG, ts TIMESTAMP_MS, v REAL, n INTEGER, ok BOOLEAN, state TEXT";
constexpr char kCreatePlain[] =
    "CREATE TABLE p(device TEXT NOT NULL, ts INTEGER NOT NULL, v REAL, n INTEGER, ok INTEGER, "
    "state "
    "TEXT, PRIMARY KEY(device, ts)) WITHOUT ROWID";

void Create(Connection* c, const std::string& options) {
  c->Must("CREATE VIRTUAL TABLE m USING timeseries(" + std::string(kColumns) + options + ")");
  c->Must(kCreatePlain);
}

std::string Rollup(const std::string& name, const std::string& condition = "1") {
  return "SELECT device, ts, points, v_count, printf('%!.17g', v_sum), v_sum IS NULL, v_min, "
         "v_max, "
         "v_first, v_last, n_count, n_sum, n_min, n_max, n_first, n_last, ok_count, ok_sum, "
         "ok_min, "
         "ok_max, ok_first, ok_last, state_count, state_min, state_max, state_first, state_last "
         "FROM m_" +
         name + " WHERE " + condition + " ORDER BY device, ts";
}

// The same of the plain table. Its rows come in the order of time, so sums have the same bits.
std::string Plain(const std::string& width, const std::string& condition = "1") {
  const auto four = [](const std::string& c) {
    return "min(" + c + "), max(" + c + "), first(" + c + ", ts), last(" + c + ", ts)";
  };
  return "SELECT * FROM (SELECT device, time_bucket('" + width +
         "', ts) AS ts, count(*), count(v), "
         "printf('%!.17g', sum(v)), sum(v) IS NULL, " +
         four("v") + ", count(n), sum(n), " + four("n") + ", count(ok), sum(ok), " + four("ok") +
         ", count(state), " + four("state") + " FROM p GROUP BY 1, 2) WHERE " + condition +
         " ORDER BY device, ts";
}

class History {
 public:
  explicit History(uint64_t seed) : rng_(seed) {}
  // {} stands for the table.
  std::string Next() {
    switch (rng_.Below(10)) {
      case 0: return "DELETE FROM {} WHERE " + Range();
      case 1: return "UPDATE {} SET v = v * 1.1, state = 'new' WHERE " + Range();
      case 2:
        return "UPDATE OR REPLACE {} SET ts = ts + 61000 WHERE " + Range() + " AND ts % 3 = 0";
      case 3: return "DELETE FROM {} WHERE ts % 5 = 0 AND " + Range();
      case 4:
      case 5: return "INSERT OR REPLACE INTO {} VALUES" + Late(1 + rng_.Below(8));
      default: return Burst();
    }
  }
  std::string Condition() {
    switch (rng_.Below(4)) {
      case 0: return "1";
      case 1: return "device = '" + Device() + "' AND ts >= " + Time();
      case 2: return "ts BETWEEN " + Time() + " AND " + Time();
      default: return "device = '" + Device() + "' AND ts < " + Time();
    }
  }

 private:
  std::string Device() { return "d" + std::to_string(rng_.Below(2)); }
  std::string Time() { return std::to_string(rng_.Below(now_ + 100'000)); }
  std::string Range() {
    const uint64_t from = rng_.Below(now_ + 1);
    return "ts >= " + std::to_string(from) + " AND ts < " +
           std::to_string(from + rng_.Below(rng_.Below(6) == 0 ? now_ + 1 : 200'000)) +
           (rng_.Below(2) == 0 ? "" : " AND device = '" + Device() + "'");
  }
  std::string Point(const std::string& device, uint64_t time) {
    constexpr const char* kStates[] = {"NULL", "'on'", "'off'", "'in doubt'"};
    return "('" + device + "', " + std::to_string(time) + ", " +
           (rng_.Below(9) == 0 ? "NULL" : std::to_string(rng_.Below(100'000)) + "/100.0") + ", " +
           (rng_.Below(9) == 0 ? "NULL" : std::to_string(rng_.Below(1000)) + " - 500") + ", " +
           (rng_.Below(9) == 0 ? "NULL" : std::to_string(rng_.Below(2))) + ", " +
           kStates[rng_.Below(4)] + ")";
  }
  std::string Late(uint64_t count) {
    std::string sql;
    for (uint64_t i = 0; i < count; ++i) {
      sql += (i == 0 ? "" : ", ") + Point(Device(), rng_.Below(now_ + 1));
    }
    return sql;
  }
  std::string Burst() {
    const std::string device = Device();
    std::string sql = "INSERT OR REPLACE INTO {} VALUES";
    const uint64_t count = 1 + rng_.Below(400);
    const uint64_t step = 1 + rng_.Below(5000);
    for (uint64_t i = 0; i < count; ++i) {
      sql += (i == 0 ? "" : ", ") + Point(device, now_ += step);
    }
    return sql;
  }

  Rng rng_;
  uint64_t now_ = 0;
};

std::string For(std::string sql, const std::string& table) {
  return sql.replace(sql.find("{}"), 2, table);
}

TEST(Rollups, AreWhatAggregatesOfThePointsAre) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    Connection c;
    Create(&c, ", rollups='10s,1m,1h,1d'");
    History history(seed);
    for (int i = 0; i < 60; ++i) {
      const std::string sql = history.Next();
      c.Must(For(sql, "p"));
      c.Must(For(sql, "m"));
      const std::string condition = history.Condition();
      for (const char* width : {"10s", "1m", "1h", "1d"}) {
        ASSERT_EQ(c.Run(Rollup(width, condition)), c.Run(Plain(width, condition)))
            << seed << " " << width << " after " << sql.substr(0, 200) << " where " << condition;
      }
    }
    EXPECT_NE(c.Run("SELECT count(*) FROM m_10s_blocks"), "0\n");
    EXPECT_EQ(c.Run("SELECT device, ts FROM m_1m WHERE is_last = 1 ORDER BY device"),
              c.Run("SELECT device, max(ts) FROM m_1m GROUP BY device"));
    EXPECT_EQ(c.Run("SELECT device, ts FROM m_1m WHERE is_last = 0 ORDER BY device, ts"),
              c.Run("SELECT device, ts FROM m_1m AS o WHERE ts < (SELECT max(ts) FROM m_1m WHERE "
                    "device = o.device) ORDER BY device, ts"));
    EXPECT_EQ(c.Run("SELECT ts, points FROM m_1m WHERE device = 'd1' ORDER BY ts DESC LIMIT 7"),
              c.Run("SELECT * FROM (SELECT ts, points FROM m_1m WHERE device = 'd1') ORDER BY +ts "
                    "DESC LIMIT 7"));
  }
}

TEST(Rollups, ABlockIsAggregatedToo) {
  Connection c;
  c.Must(
      "CREATE VIRTUAL TABLE m USING timeseries(device TEXT TAG, ts TIMESTAMP_MS, v REAL, "
      "rollups='1m')");
  const auto insert = [&c](int64_t first) {
    Block block;
    block.columns.resize(1);
    for (int i = 0; i < 256; ++i) {
      block.times.push_back(first + i * 1000);
      block.columns[0].reals.push_back(i / 4.0);
    }
    std::string bytes;
    ASSERT_TRUE(EncodeBlock(block, &bytes).ok());
    std::string hex;
    for (const char each : bytes) {
      char digits[3];
      std::snprintf(digits, sizeof(digits), "%02x", static_cast<unsigned char>(each));
      hex += digits;
    }
    c.Must("INSERT INTO m(device, block) VALUES('a', X'" + hex + "')");
  };
  for (const int64_t first : {5'000'000, 6'000'000, 1'000'000, 5'300'000}) {
    insert(first);
    EXPECT_EQ(c.Run("SELECT ts, points, v_sum FROM m_1m"),
              c.Run("SELECT time_bucket('1m', ts), count(*), sum(v) FROM m GROUP BY 1"));
  }
}

TEST(Rollups, AreReadOnlyAndGoWithTheirTimeSeries) {
  Connection c;
  Create(&c, ", rollups='1m,1h'");
  c.Must("INSERT INTO m VALUES('a', 61000, 1, 2, 1, 'on')");
  EXPECT_EQ(c.Run("INSERT INTO m_1m(device) VALUES('a')"), "error: table m_1m may not be modified");
  EXPECT_EQ(c.Run("DELETE FROM m_1m_tail"), "error: table m_1m_tail may not be modified");
  EXPECT_EQ(c.Run("DROP TABLE m_1m").substr(0, 6), "error:");
  EXPECT_EQ(c.Run("ALTER TABLE m_1m RENAME TO x"),
            "error: a rollup has the name of its time series: rename that");
  EXPECT_EQ(
      c.Run("CREATE VIRTUAL TABLE x_1m USING timeseries_rollup('1m', ts TIMESTAMP_MS, v REAL)"),
      "error: a rollup is declared with its time series: CREATE VIRTUAL TABLE m USING "
      "timeseries(..., rollups='1m')");
  c.Must("ALTER TABLE m RENAME TO other");
  EXPECT_EQ(c.Run("SELECT ts, points, v_sum FROM other_1m"), "60000|1|1.0\n");
  c.Must("INSERT INTO other VALUES('a', 62000, 1, 2, 1, 'on')");
  EXPECT_EQ(c.Run("SELECT ts, points, v_sum FROM other_1h"), "0|2|2.0\n");
  c.Must("DROP TABLE other");
  EXPECT_EQ(c.Run("SELECT name FROM sqlite_schema WHERE name <> 'p'"), "");
}

TEST(Rollups, AWrongDeclarationSaysWhatIsRight) {
  Connection c;
  const auto create = [&c](const std::string& options) {
    return c.Run("CREATE VIRTUAL TABLE a USING timeseries(d TEXT TAG, ts TIMESTAMP_MS, v REAL, " +
                 options + ")");
  };
  EXPECT_EQ(create("rollups='1h,1m'"),
            "error: rollups are listed by width, and each width is a multiple of the one before: "
            "rollups='1m,1h,1d'");
  EXPECT_EQ(create("rollups='7m,1h'").substr(0, 40), "error: rollups are listed by width, and ");
  EXPECT_EQ(create("rollups='fast'"),
            "error: the width of a rollup is a text such as '1m' (s, m, h, d, w), not 'fast'");
  EXPECT_EQ(create("retention='7d', rollups='1m:1d'"),
            "error: a rollup lives at least as long as the points: the retention of 1m is shorter "
            "than that of the time series");
  EXPECT_EQ(create("rollups='1m:1d'").substr(0, 30), "error: a rollup lives at least");
  EXPECT_EQ(create("rollups='1s,2s,4s,8s,16s,32s,64s'"),
            "error: a time series has at most 6 rollups");
  EXPECT_EQ(create("rollups='32d'"), "error: a rollup is at most 31 days wide");
  EXPECT_EQ(create("points REAL, v_sum REAL, rollups='1m'"), "");
  EXPECT_EQ(
      c.Run("CREATE VIRTUAL TABLE b USING timeseries(points TEXT TAG, ts TIMESTAMP_MS, v REAL, "
            "rollups='1m')")
          .substr(0, 33),
      "error: the name points is taken: ");
}

// A block that is damaged, or another one, is found before it is used.
TEST(Rollups, AStoredBlockOfOtherColumnsIsCorruption) {
  int64_t calls_left = INT64_MAX;
  ModuleOptions options;
  options.charge = [&calls_left](uint64_t /*steps*/) { return --calls_left > 0; };
  Connection c(":memory:", options);
  Create(&c, ", rollups='10s,1m'");
  c.Must("INSERT INTO m(device, ts, v) SELECT 'a', bucket, 1 FROM time_buckets(0, 4000000, 1000)");
  sqlite3_db_config(c.db(), SQLITE_DBCONFIG_DEFENSIVE, 0, nullptr);
  c.Must("CREATE TABLE saved AS SELECT * FROM m_10s_blocks");
  ASSERT_NE(c.Run("SELECT count(*) FROM saved"), "0\n");
  const std::string corrupt = "error: database disk image is malformed";
  const std::string update = "UPDATE m SET v = 2 WHERE ts = 1000";
  for (const char* damage : {"X'01000100000E00000000'", "X'00'"}) {
    c.Must("UPDATE m_10s_blocks SET data = " + std::string(damage));
    EXPECT_EQ(c.Run("SELECT sum(points) FROM m_10s"), corrupt);
    EXPECT_EQ(c.Run(update), corrupt);
    c.Must("UPDATE m_10s_blocks AS b SET data = (SELECT data FROM saved WHERE id = b.id)");
  }
  c.Must("UPDATE m_10s_blocks SET points = points + 1");
  EXPECT_EQ(c.Run("SELECT sum(points) FROM m_10s"), corrupt);
  EXPECT_EQ(c.Run(update), corrupt);
  c.Must("UPDATE m_10s_blocks SET points = points - 1");
  // An error that comes later has not the text of one of those, wherever it comes up.
  int errors = 0;
  for (int64_t calls = 1;; ++calls) {
    calls_left = calls;
    const std::string error = c.Run(update);
    if (error.empty()) break;
    ASSERT_EQ(error, "error: interrupted");
    ASSERT_LT(++errors, 1000);
  }
  EXPECT_GT(errors, 10);
}

// Each rollup, and each column, is work of the INSERT.
TEST(Rollups, TheirWorkIsCharged) {
  const auto cost = [](const std::string& rollups, int columns) {
    uint64_t steps = 0;
    ModuleOptions options;
    options.charge = [&steps](uint64_t more) {
      steps += more;
      return true;
    };
    Connection c(":memory:", options);
    std::string names;
    for (int i = 0; i < columns; ++i) names += ", v" + std::to_string(i) + " REAL";
    c.Must("CREATE VIRTUAL TABLE m USING timeseries(ts TIMESTAMP_MS" + names + rollups + ")");
    c.Must("INSERT INTO m(ts, v0) SELECT bucket, 1 FROM time_buckets(0, 640000, 1000)");
    const uint64_t sealed = steps;
    c.Must("INSERT OR REPLACE INTO m(ts, v0) VALUES(1000, 2)");
    c.module().Flush();
    return std::pair(sealed, steps - sealed);
  };
  const auto [sealed, late] = cost("", 10);
  const auto [sealed_one, late_one] = cost(", rollups='1h'", 1);
  const auto [sealed_ten, late_ten] = cost(", rollups='1h'", 10);
  const auto [sealed_three, late_three] = cost(", rollups='1h,2h,4h'", 10);
  EXPECT_GT(sealed_ten, sealed + 512 * 10 / 2);
  EXPECT_GT(late_ten, late + 512 * 10);
  EXPECT_GT(sealed_ten, sealed_one + 512 * 9 / 2);
  EXPECT_GT(late_ten, late_one + 512 * 8);
  EXPECT_GT(sealed_three, sealed + 3 * 512 * 10 / 2);
  EXPECT_GT(late_three, late + 3 * 512 * 10);
}

TEST(Rollups, ASumThatLeavesItsRangeIsNull) {
  Connection c;
  Create(&c, ", rollups='1m'");
  c.Must(
      "INSERT INTO m VALUES('a', 1, 1e308, 9223372036854775807, 1, 'x'), ('a', 2, 1e308, 1, 1, "
      "'x'), ('a', 3, -1e308, -5, 1, 'x')");
  EXPECT_EQ(c.Run("SELECT v_count, v_sum, n_count, n_sum, ok_sum FROM m_1m"), "3|NULL|3|NULL|3\n");
}

}  // namespace
}  // namespace cairn::timeseries
