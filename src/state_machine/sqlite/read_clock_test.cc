#include "state_machine/sqlite/read_clock.h"

#include <gtest/gtest.h>

#include "state_machine/sqlite/database_test_util.h"
#include "state_machine/sqlite/read_pool.h"

namespace cairn::state_machine {
namespace {

constexpr int64_t kYear2100Ms = 4'102'444'800'000;

// The answer of a pool whose database has the time `wall_ms`.
Row Now(const std::string& applied_sql) {
  TemporaryDirectory directory;
  TestDatabase writer(directory / "db");
  writer.MakeCairn();
  ReadPoolOptions options;
  options.path = directory / "db";
  options.applied_sql = applied_sql;
  ReadPool pool(std::move(options));
  auto view = pool.Open(std::chrono::seconds(1));
  EXPECT_TRUE(view.ok()) << view.status();
  RowCollector out;
  const Statement now{"SELECT datetime('now'), julianday('now'), CURRENT_DATE", {}, {}};
  const Status status = (*view)->Query(now, {}, &out);
  EXPECT_TRUE(status.ok()) << status;
  return out.rows.at(0);
}

// The clock of the node is behind. A client wrote a row with the current time and did not find it.
TEST(ReadClock, ATimeOfAQueryIsNotBeforeTheLatestEntryThatItSees) {
  const Row now = Now("SELECT 7, " + std::to_string(kYear2100Ms));
  EXPECT_EQ(now.at(0), Value("2100-01-01 00:00:00"));
  EXPECT_EQ(now.at(1), Value(2488069.5));
  EXPECT_EQ(now.at(2), Value("2100-01-01"));
}

TEST(ReadClock, IsTheClockOfTheNodeWhereNoEntryIsLater) {
  for (const char* applied : {"SELECT 7", "SELECT 7, 1000"}) {
    const Row now = Now(applied);
    EXPECT_GT(std::get<std::string>(now.at(0)), "2020") << applied;
    EXPECT_LT(std::get<std::string>(now.at(0)), "2100") << applied;
  }
}

}  // namespace
}  // namespace cairn::state_machine
