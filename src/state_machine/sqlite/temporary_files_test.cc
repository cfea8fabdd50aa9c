#include "state_machine/sqlite/temporary_files.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "state_machine/sqlite/database_test_util.h"
#include "state_machine/sqlite/read_pool.h"

namespace cairn::state_machine {
namespace {

// Sorts `rows` rows of 4 KB.
Statement Sorts(int rows) {
  return {"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT " +
              std::to_string(rows) +
              ") SELECT max(length(a)) FROM (SELECT hex(zeroblob(2000)) || -i AS a FROM n"
              " ORDER BY a LIMIT -1 OFFSET 1)",
          {},
          {}};
}

class TemporaryFilesTest : public testing::Test {
 protected:
  TemporaryFilesTest() : writer_(directory_ / "db") {
    writer_.MakeCairn();
    writer_.SetApplied(1);
    ReadPoolOptions options;
    options.path = directory_ / "db";
    options.applied_sql = kAppliedSql;
    options.temporary_bytes_max = 24 << 20;
    options.temporary_file_bytes_max = 16 << 20;
    pool_ = std::make_unique<ReadPool>(options, clock_);
  }
  Status Ask(const Statement& statement) {
    Result<std::unique_ptr<ReadTransaction>> view = pool_->Open(std::chrono::seconds(1));
    EXPECT_TRUE(view.ok()) << view.status();
    RowCollector rows;
    return (*view)->Query(statement, {}, &rows);
  }

  TemporaryDirectory directory_;
  TestDatabase writer_;
  ManualClock clock_;
  std::unique_ptr<ReadPool> pool_;
};

// Twelve such queries at once filled a disk within a minute.
TEST_F(TemporaryFilesTest, AQueryThatKeepsMoreThanItsShareEndsWithAnError) {
  const Status refused = Ask(Sorts(8000));
  EXPECT_EQ(refused.code(), StatusCode::kResourceExhausted) << refused;
  EXPECT_NE(refused.message().find("temporary files"), std::string::npos) << refused;
  EXPECT_TRUE(Ask(Sorts(2000)).ok()) << "the room of the first is given back";
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(Ask(Sorts(2000)).ok()) << i;
}

TEST_F(TemporaryFilesTest, QueriesTogetherKeepNoMoreThanTheBound) {
  const auto open = [this] { return pool_->Open(std::chrono::seconds(1)); };
  // The rows of a sort are kept until the query has ended.
  const auto sorts = [](int rows) {
    Statement statement = Sorts(rows);
    statement.sql.replace(statement.sql.find("max(length(a))"), 14, "a");
    return statement;
  };
  auto first = open();
  auto second = open();
  ASSERT_TRUE(first.ok() && second.ok());
  const Statement statement = sorts(3000);  // must outlive the run
  std::unique_ptr<QueryRun> run = (*first)->BeginQuery(statement);
  class OneRow final : public RowSink {
   public:
    Status OnColumns(const std::vector<Column>&) override { return OkStatus(); }
    Status OnRow(Row) override {
      ++rows;
      return OkStatus();
    }
    bool Full() override { return rows > 0; }
    int rows = 0;
  } sink;
  const Result<bool> done = run->Continue({}, &sink);
  ASSERT_TRUE(done.ok()) << done.status();
  ASSERT_FALSE(*done);
  RowCollector rows;
  EXPECT_EQ((*second)->Query(sorts(3500), {}, &rows).code(), StatusCode::kResourceExhausted);
  run.reset();
  RowCollector again;
  EXPECT_TRUE((*second)->Query(sorts(3500), {}, &again).ok());
}

}  // namespace
}  // namespace cairn::state_machine
