// Queries that are one long operation of SQLite look at their limits between pages.
#include "state_machine/sqlite/page_reads.h"

#include <gtest/gtest.h>

#include "state_machine/sqlite/database_test_util.h"
#include "state_machine/sqlite/read_pool.h"

namespace cairn::state_machine {
namespace {

constexpr const char* kCount = "SELECT count(*) FROM t";

class PageReadsTest : public testing::TestWithParam<bool> {
 protected:
  PageReadsTest() : writer_(directory_ / "db") {
    writer_.MakeCairn();
    writer_.Run("CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT)");
    writer_.Run(
        "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
        "WHERE i < 20000) SELECT i, hex(zeroblob(100)) FROM n");
    writer_.SetApplied(7);
    const bool in_wal = GetParam();
    if (!in_wal) writer_.Run("PRAGMA wal_checkpoint(TRUNCATE)");
    ReadPoolOptions options;
    options.path = directory_ / "db";
    options.applied_sql = kAppliedSql;
    pool_ = std::make_unique<ReadPool>(options);
  }

  TemporaryDirectory directory_;
  TestDatabase writer_;
  std::unique_ptr<ReadPool> pool_;
};

// The progress handler is never called within count(*). Three such queries held all threads for short
// reads, whatever their slices.
TEST_P(PageReadsTest, ACountOfAWholeTableEndsWithItsSlice) {
  const auto view = pool_->Open(std::chrono::seconds(1)).value();
  int looks = 0;
  QueryLimits limits;
  limits.check = [&](SteadyTime) {
    return ++looks < 20 ? OkStatus() : Cancelled("the slice is over");
  };
  RowCollector out;
  const Status status = view->Query({kCount, {}, {}}, limits, &out);
  EXPECT_EQ(status.message(), "the slice is over");
  EXPECT_EQ(looks, 20) << "and SQLite read no further";
  EXPECT_TRUE(out.rows.empty());
  ASSERT_TRUE(view->Query({kCount, {}, {}}, {}, &out).ok());
  EXPECT_EQ(out.rows, std::vector<Row>{{int64_t{20000}}}) << "the view goes on";
}

INSTANTIATE_TEST_SUITE_P(OfTheFileAndOfTheWal, PageReadsTest, testing::Bool());

}  // namespace
}  // namespace cairn::state_machine
