// Commands that make a virtual table, write to it, and fail. SQLite forgets to tell such a table that
// it is undone.

#include <gtest/gtest.h>

#include "state_machine/sqlite/replicas_test_util.h"

namespace cairn::state_machine {
namespace {

class UndoneVirtualTables : public ::testing::TestWithParam<const char*> {
 protected:
  Status Run(const std::vector<std::string>& sqls) {
    Execute execute;
    for (const std::string& sql : sqls) execute.statements.push_back({sql, {}, {}});
    const raft::Entry entry = MakeEntry(
        next_, {1'700'000'000'000, 1, 1'000, 50'000'000},
        {{{}, 0, std::move(execute)}, ExecuteCommand("INSERT INTO log VALUES ('beside')")});
    next_ = next_ + 1;
    return replica_.Apply(std::vector{entry}).at(0).results.at(0).status;
  }
  void ExpectWorks() {
    EXPECT_TRUE(Run({"CREATE VIRTUAL TABLE d USING " + std::string(GetParam()) + "(x)",
                     "INSERT INTO d VALUES ('b')"})
                    .ok());
    EXPECT_TRUE(Run({"INSERT INTO d VALUES ('c')"}).ok());
    replica_.Close();
    EXPECT_EQ(TestDatabase(replica_.path()).Text("SELECT group_concat(x) FROM d"), "b,c");
    replica_.Open();
  }

  TestReplica replica_;
  LogIndex next_{1};
};

TEST_P(UndoneVirtualTables, LeaveNothing) {
  const std::string create = "CREATE VIRTUAL TABLE d USING " + std::string(GetParam()) + "(x)";
  EXPECT_TRUE(Run({"CREATE TABLE log(x)"}).ok());
  EXPECT_FALSE(Run({create, "INSERT INTO d VALUES ('a')", "INSERT INTO nowhere VALUES (1)"}).ok());
  EXPECT_FALSE(Run({create, "INSERT INTO d(rowid, x) VALUES (1, 'a')",
                    "INSERT INTO d(rowid, x) VALUES (1, 'again')"})
                   .ok());
  ExpectWorks();
}

TEST_P(UndoneVirtualTables, LeaveTheTableThatTheyReplaced) {
  const std::string create = "CREATE VIRTUAL TABLE d USING " + std::string(GetParam()) + "(x)";
  EXPECT_TRUE(Run({"CREATE TABLE log(x)"}).ok());
  EXPECT_TRUE(Run({create, "INSERT INTO d VALUES ('old')"}).ok());
  EXPECT_FALSE(Run({"DROP TABLE d", create, "INSERT INTO d VALUES ('new')",
                    "INSERT INTO nowhere VALUES (1)"})
                   .ok());
  EXPECT_FALSE(Run({"ALTER TABLE d RENAME TO e", "INSERT INTO e VALUES ('new')",
                    "INSERT INTO nowhere VALUES (1)"})
                   .ok());
  EXPECT_TRUE(Run({"INSERT INTO d VALUES ('more')"}).ok());
  replica_.Close();
  EXPECT_EQ(TestDatabase(replica_.path()).Text("SELECT group_concat(x) FROM d"), "old,more");
  EXPECT_EQ(TestDatabase(replica_.path())
                .Text("SELECT count(*) FROM d WHERE d MATCH 'old OR more OR new'"),
            "2");
  replica_.Open();
}

INSTANTIATE_TEST_SUITE_P(Modules, UndoneVirtualTables, ::testing::Values("fts5", "fts4", "fts3"),
                         [](const auto& tested) { return std::string(tested.param); });

}  // namespace
}  // namespace cairn::state_machine
