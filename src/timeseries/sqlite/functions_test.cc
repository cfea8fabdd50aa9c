#include "timeseries/sqlite/functions.h"

#include <fstream>
#include <sstream>
#include <string_view>

#include "base/rng.h"
#include "timeseries/sqlite/connection_test_util.h"

namespace cairn::timeseries {
namespace {

TEST(TimeSeriesFunctions, TimeBucketRoundsDown) {
  Connection c;
  EXPECT_EQ(
      c.Run("SELECT time_bucket(1000, 1999), time_bucket('1m', 61000), time_bucket(1000, -1), "
            "time_bucket('1w', 0, 345600000), time_bucket(1000, NULL), time_bucket(10, 7, 5)"),
      "1000|60000|-1000|-259200000|NULL|5\n");
  const std::string wrong =
      "error: the width of a bucket is a positive integer in the unit of the times, or a text such "
      "as '15m' in milliseconds (ms, s, m, h, d, w)";
  for (const char* width : {"0", "-5", "'1y'", "'m'", "'99999999999w'", "1.5", "X'01'"}) {
    EXPECT_EQ(c.Run(std::string("SELECT time_bucket(") + width + ", 1)"), wrong);
  }
  EXPECT_EQ(c.Run("SELECT time_bucket(1000, -9223372036854775808)"),
            "error: time_bucket: the time is out of range");
}

TEST(TimeSeriesFunctions, OfSomePoints) {
  Connection c;
  const std::string points =
      " FROM (SELECT column1 AS t, column2 AS v FROM (VALUES (3000, 30), (1000, 10), (2000, NULL), "
      "(4000, 5), (6000, 25)))";
  EXPECT_EQ(c.Run("SELECT first(v, t), last(v, t), delta(v, t)" + points), "10|25|15.0\n");
  // 20 up to 3000; the counter begins again at 0, and comes to 5; then 20 more.
  EXPECT_EQ(c.Run("SELECT rate(v, t), rate(v, t, 1000000)" + points), "9.0|9000.0\n");
  // 10 for 2 s, 30 for 1 s, 5 for 2 s.
  EXPECT_EQ(c.Run("SELECT time_weighted_avg(v, t), time_weighted_avg(v, t, 'linear')" + points),
            "12.0|17.5\n");
  EXPECT_EQ(c.Run("SELECT histogram(v, 10, 30, 2)" + points), "[1,1,1,1]\n");
  EXPECT_EQ(c.Run("SELECT first(v, t), delta(v, t), rate(v, t), time_weighted_avg(v, t), "
                  "histogram(v, 0, 1, 2)" +
                  points + " WHERE 0"),
            "NULL|NULL|NULL|NULL|NULL\n");
  EXPECT_EQ(c.Run("SELECT time_weighted_avg(v, t, 'cubic')" + points),
            "error: time_weighted_avg: the method is 'locf' or 'linear'");
  EXPECT_EQ(c.Run("SELECT histogram(v, 1, 1, 2)" + points),
            "error: histogram(value, low, high, n): low is below high, and n is 1 to 1000");
}

TEST(TimeSeriesFunctions, DoNotDependOnTheOrderOfRows) {
  Connection c;
  c.Must("CREATE TABLE p(k INTEGER PRIMARY KEY, t, v)");
  Rng rng(5);
  std::string insert = "INSERT INTO p(t, v) VALUES";
  for (int i = 0; i < 500; ++i) {
    insert += (i == 0 ? "(" : ", (") + std::to_string(rng.Below(1'000'000)) + ", " +
              std::to_string(rng.Below(1'000'000)) + " / 7.0)";
  }
  c.Must(insert);
  const std::string sql =
      "SELECT printf('%!.17g %!.17g %!.17g', rate(v, t), time_weighted_avg(v, t), "
      "time_weighted_avg(v, t, 'linear')) FROM (SELECT * FROM p ORDER BY ";
  const std::string by_time = c.Run(sql + "t LIMIT 500)");
  EXPECT_EQ(c.Run(sql + "t DESC LIMIT 500)"), by_time);
  EXPECT_EQ(c.Run(sql + "v LIMIT 500)"), by_time);
  EXPECT_EQ(c.Run(sql + "k LIMIT 500)"), by_time);
}

TEST(TimeSeriesFunctions, GapsAreFilledByBucketsAnOuterJoinAndWindows) {
  Connection c;
  c.Must("CREATE VIRTUAL TABLE m USING timeseries(ts TIMESTAMP_MS, value REAL)");
  c.Must("INSERT INTO m VALUES(1500, 10), (1600, 20), (4200, 45), (6100, 5)");
  const std::string filled =
      "WITH points AS (SELECT time_bucket('1s', ts) AS t, avg(value) AS v FROM m GROUP BY 1), "
      "gaps AS (SELECT bucket, v, iif(v IS NULL, NULL, bucket) AS t FROM time_buckets(0, 8000, "
      "'1s') LEFT JOIN points ON t = bucket) ";
  EXPECT_EQ(
      c.Run(filled + "SELECT bucket, v, locf(v) OVER (ORDER BY bucket), interpolate(bucket, "
                     "locf(t) OVER up, locf(v) OVER up, locf(t) OVER down, locf(v) OVER down) "
                     "FROM gaps WINDOW up AS (ORDER BY bucket), down AS (ORDER BY bucket "
                     "DESC) ORDER BY bucket"),
      "0|NULL|NULL|NULL\n1000|15.0|15.0|15.0\n2000|NULL|15.0|25.0\n3000|NULL|15.0|35.0\n"
      "4000|45.0|45.0|45.0\n5000|NULL|45.0|25.0\n6000|5.0|5.0|5.0\n7000|NULL|5.0|NULL\n");
  EXPECT_EQ(
      c.Run("SELECT v, locf(v) OVER (ROWS 1 PRECEDING) FROM (SELECT column1 AS v FROM (VALUES "
            "(1), (NULL), (NULL), (2)))"),
      "1|1\nNULL|1\nNULL|NULL\n2|2\n");
  EXPECT_EQ(c.Run("SELECT * FROM time_buckets(0, 10)"),
            "error: time_buckets(from, until, width) takes three arguments");
  EXPECT_EQ(c.Run("SELECT count(*) FROM time_buckets(0, NULL, 10)"), "0\n");
}

TEST(TimeSeriesFunctions, WorkThatIsNotAllowedIsInterrupted) {
  int left = 1000;
  ModuleOptions options;
  options.charge = [&left](uint64_t steps) { return (left -= static_cast<int>(steps)) > 0; };
  Connection c(":memory:", options);
  EXPECT_EQ(c.Run("SELECT rate(v, v) FROM (WITH RECURSIVE i(v) AS (SELECT 1 UNION ALL SELECT v + 1 "
                  "FROM i LIMIT 1000) SELECT v FROM i)"),
            "error: interrupted");
}

// The page for users. Its statements run in their order.
TEST(TimeSeriesFunctions, TheStatementsOfThePageForUsersRun) {
  std::ifstream file(std::string(CAIRN_SOURCE_DIR) + "/docs/time-series.md");
  std::stringstream page;
  page << file.rdbuf();
  const std::string text = page.str();
  constexpr std::string_view kOpen = "```sql\n";
  Connection c;
  std::string last;
  int found = 0;
  for (size_t at = text.find(kOpen); at != std::string::npos; at = text.find(kOpen, at), ++found) {
    at += kOpen.size();
    last = c.Run(text.substr(at, text.find("```", at) - at));
    EXPECT_NE(last.substr(0, 6), "error:") << last;
  }
  EXPECT_EQ(found, 7);
  EXPECT_TRUE(last.starts_with("1700000000000|21.57|21.57|21.57\n1700000001000|21.6|21.6|21.6\n"))
      << last;
}

}  // namespace
}  // namespace cairn::timeseries
