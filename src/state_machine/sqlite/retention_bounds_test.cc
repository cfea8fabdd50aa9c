// Retained changes of tables and commands at the bounds.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "state_machine/sqlite/retention_test_util.h"

namespace cairn::state_machine {
namespace {

using testing::ElementsAre;

// The rowid and all columns of such a table are more than SQLite allows in a result.
TEST_F(Retention, ATableMayHaveAsManyColumnsAsSqliteAllows) {
  ASSERT_TRUE(Retain("t", kDayMs).ok());
  std::string columns = "id INTEGER PRIMARY KEY";
  for (int i = 1; i < 2000; ++i) columns += ", c" + std::to_string(i);
  replicas.Must("CREATE TABLE w(" + columns + ")");
  replicas.Must("INSERT INTO w(id, c1) VALUES(7, 1)");
  replicas.Must("CREATE TABLE copied AS SELECT * FROM w");
  ASSERT_TRUE(Retain("w", kDayMs).ok());
  replicas.Must("UPDATE w SET c1999 = 2");
  EXPECT_EQ(AllOf("w").size(), 2U);
  replicas.Must("INSERT INTO t VALUES(1, 'a')");
  EXPECT_THAT(ReadAll(machine(), {"t"}, EndOf(LogIndex(9))).changes,
              ElementsAre("10.1 t +1|'a'", "10.2 end"));
  // The check itself selects the rowid and all columns.
  replicas.Must("DROP TABLE w");
  replicas.Must("DROP TABLE copied");
  replicas.Check();
}

// A trigger may have the name of a table. Its creation is then a change of both.
TEST_F(Retention, AChangeOfTwoNamesIsInOneSliceForBoth) {
  ASSERT_TRUE(Retain("t", kDayMs).ok());
  ASSERT_TRUE(Retain("other", kDayMs).ok());
  const ChangePosition began = Since("other");
  const std::string text(8'000, 'x');
  for (const bool more : {false, true}) {
    std::vector<Statement> statements = {
        {"INSERT INTO other VALUES(zeroblob(60000))", {}, {}},
        {"CREATE TRIGGER other AFTER INSERT ON t BEGIN SELECT '" + text + "'; END", {}, {}}};
    if (more) statements.push_back({"INSERT INTO other VALUES(2)", {}, {}});
    EXPECT_TRUE(replicas.Execute(statements).status.ok());
    replicas.Must("DROP TRIGGER other");
  }
  EXPECT_EQ(ReadAll(machine(), {"t"}, began).changes.size(), 8U);
  EXPECT_EQ(ReadAll(machine(), {"other"}, began).changes.size(), 11U);
  EXPECT_EQ(ReadAll(machine(), {"other", "t"}, began).changes.size(), 11U);
  replicas.Check();
}

TEST_F(Retention, NothingIsLeftOfAnEntryThatEndsTheLastSetting) {
  ASSERT_TRUE(Retain("t", kDayMs).ok());
  replicas.DoAll({RetainCommand("t", 0), ExecuteCommand("INSERT INTO t VALUES(1, 'untold')")});
  replicas.Check();
  ASSERT_TRUE(Retain("t", kDayMs).ok());
  EXPECT_EQ(Settings().at(0).bytes, 0U);
  replicas.Must("INSERT INTO t VALUES(2, 'told')");
  EXPECT_EQ(AllOf("t").size(), 2U);
  replicas.Check();
}

TEST_F(Retention, AnEntryRemovesABoundedNumberOfBytes) {
  ASSERT_TRUE(Retain("t", kDayMs).ok());
  for (int i = 0; i < 80; ++i) replicas.Must("INSERT INTO t(x) VALUES(zeroblob(60000))");
  ASSERT_TRUE(Retain("t", kDayMs, kRetainBytesMin).ok());
  uint64_t before = Settings().at(0).bytes;
  EXPECT_GT(before, 3U << 20);
  for (int i = 0; i < 10; ++i) {
    replicas.Must("INSERT INTO other VALUES(1)");
    const uint64_t now = Settings().at(0).bytes;
    EXPECT_LE(before - now, (1U << 20) + 70'000);
    before = now;
  }
  EXPECT_LE(before, kRetainBytesMin);
  replicas.Check();
}

}  // namespace
}  // namespace cairn::state_machine
