// The queries of the IoT case of the Time Series Benchmark Suite tell of time series what they tell of
// plain tables.

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "timeseries/sqlite/connection_test_util.h"
#include "timeseries/sqlite/trucks_test_util.h"

namespace cairn::timeseries {
namespace {

TEST(TruckQueries, AreThoseOfPlainTables) {
  Connection c;
  const Trucks trucks([&c](const std::string& sql) { c.Must(sql); });
  EXPECT_NE(c.Run("SELECT count(*) FROM readings_m_blocks"), "0\n");
  for (const TruckQuery& query : kTruckQueries) {
    const std::string expected = c.Run(TruckSql(query.sql, /*series=*/false));
    EXPECT_EQ(c.Run(TruckSql(query.sql, /*series=*/true)), expected) << query.name;
    // Each query finds something, and not an error.
    EXPECT_GT(std::count(expected.begin(), expected.end(), '\n'), 1) << query.name << expected;
  }
}

// What buckets of ten minutes are, the rollup of ten minutes has already.
TEST(TruckQueries, ByRollupsAreThoseByPoints) {
  Connection c;
  const Trucks trucks([&c](const std::string& sql) { c.Must(sql); });
  const auto driving = [](const std::string& buckets) {
    return "SELECT name, driver, count(*) FROM (" + buckets +
           ") JOIN truck USING(name) GROUP BY name, driver HAVING count(*) > 60 ORDER BY name";
  };
  const std::string expected = c.Run(
      driving("SELECT name, time_bucket('10m', ts) FROM readings_p WHERE ts < 1700092800000 GROUP "
              "BY 1, 2 HAVING avg(velocity) > 1"));
  EXPECT_NE(expected, "");
  EXPECT_EQ(c.Run(driving("SELECT name FROM readings_m_10m WHERE ts < 1700092800000 AND "
                          "velocity_sum / velocity_count > 1")),
            expected);
}

}  // namespace
}  // namespace cairn::timeseries
