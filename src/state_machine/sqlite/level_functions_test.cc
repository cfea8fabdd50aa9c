// What a feature level adds to the SQL of writes, and that it is not there below the level.

#include <gtest/gtest.h>

#include "state_machine/feature_level.h"
#include "state_machine/sqlite/replicas_test_util.h"

namespace cairn::state_machine {
namespace {

constexpr uint64_t kStepsMax = 200'000;
constexpr char kInsert[] = "INSERT INTO t VALUES (vector32('[1, 2.5]'))";
constexpr char kUnknown[] = "no such function: vector32";

class LevelFunctionsTest : public ::testing::Test {
 protected:
  LevelFunctionsTest() {
    Apply({ExecuteCommand("CREATE TABLE t(x)")});
    Raise(kLevelExpectations);
  }
  raft::Entry EntryOf(const std::vector<Command>& commands) {
    raft::Entry entry = MakeEntry(next_, {1'700'000'000'000, 1, 1'000, kStepsMax}, commands);
    next_ = next_ + 1;
    return entry;
  }
  std::vector<CommandResult> Apply(const std::vector<Command>& commands) {
    return replica_.Apply(std::vector{EntryOf(commands)}).at(0).results;
  }
  Status Run(const std::string& sql) { return Apply({ExecuteCommand(sql)}).at(0).status; }
  void Raise(uint64_t level) { Apply({RaiseTo(level)}); }
  static Command RaiseTo(uint64_t level) { return {{}, 0, RaiseLevel{level}}; }
  std::string Rows() {
    replica_.Close();
    TestDatabase db(replica_.path());
    const std::string rows = db.Text("SELECT count(*) || ' ' || group_concat(quote(x)) FROM t");
    replica_.Open();
    return rows;
  }

  TestReplica replica_;
  LogIndex next_{1};
};

TEST_F(LevelFunctionsTest, BelowTheLevelSqliteKnowsNoSuchFunction) {
  const Status refused = Run(kInsert);
  EXPECT_EQ(refused.message(), kUnknown);
  EXPECT_EQ(refused.code(), Run("INSERT INTO t VALUES (nobody_knows(1))").code());
  EXPECT_EQ(Run("CREATE INDEX i ON t(vector32(x))").message(), kUnknown);
  replica_.Restart();
  EXPECT_EQ(Run(kInsert).message(), kUnknown);
}

TEST_F(LevelFunctionsTest, FromTheLevelOnTheFunctionIsThereAlsoAfterARestart) {
  EXPECT_TRUE(Run("CREATE VIEW v AS SELECT vector32('[3]') AS y").ok());
  EXPECT_TRUE(Run("CREATE TABLE d(x DEFAULT (vector32('[4]')), y)").ok());
  EXPECT_EQ(Run("INSERT INTO d(y) VALUES(1)").message(), "unknown function: vector32()");
  Raise(kLevelDataPlatform);
  EXPECT_TRUE(Run(kInsert).ok());
  EXPECT_TRUE(Run("INSERT INTO t SELECT y FROM v").ok());
  EXPECT_TRUE(Run("INSERT INTO d(y) VALUES(1)").ok());
  replica_.Restart();
  EXPECT_TRUE(Run(kInsert).ok());
  EXPECT_EQ(Rows(), "3 X'0000803F00002040',X'00004040',X'0000803F00002040'");
}

TEST_F(LevelFunctionsTest, ALaterCommandOfTheSameEntrySeesTheLevel) {
  const auto results =
      Apply({ExecuteCommand(kInsert), RaiseTo(kLevelDataPlatform), ExecuteCommand(kInsert)});
  EXPECT_EQ(results.at(0).status.message(), kUnknown);
  EXPECT_TRUE(results.at(2).status.ok()) << results.at(2).status;
}

// The command that exhausts its budget ends the SQLite transaction, and the entries before it are
// applied again. If the level had stayed, the first one would now succeed.
TEST_F(LevelFunctionsTest, ABatchThatIsUndoneTakesTheFunctionsAwayAgain) {
  const std::string endless =
      "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM "
      "n";
  const std::vector<raft::Entry> entries = {
      EntryOf({ExecuteCommand(kInsert)}), EntryOf({RaiseTo(kLevelDataPlatform)}),
      EntryOf({ExecuteCommand(kInsert), ExecuteCommand(endless), ExecuteCommand(kInsert)})};
  const auto results = replica_.Apply(entries);
  ASSERT_EQ(results.size(), 3u);
  EXPECT_EQ(results.at(0).results.at(0).status.message(), kUnknown);
  EXPECT_TRUE(results.at(2).results.at(0).status.ok());
  EXPECT_EQ(results.at(2).results.at(1).status.code(), StatusCode::kResourceExhausted);
  EXPECT_TRUE(results.at(2).results.at(2).status.ok());
  EXPECT_EQ(replica_.machine().applied_state().level, kLevelDataPlatform);
  EXPECT_EQ(Rows().substr(0, 2), "2 ");
}

TEST_F(LevelFunctionsTest, WorkOfTheFunctionsIsCharged) {
  Raise(kLevelDataPlatform);
  std::string text = "[0";
  for (int i = 1; i < 60'000; ++i) text += ",0";
  text += "]";
  EXPECT_TRUE(
      Apply({ExecuteCommand("INSERT INTO t VALUES (vector32(?1))", {text})}).at(0).status.ok());
  const std::string twice = "INSERT INTO t VALUES (vector32(?1)), (vector32(?1))";
  EXPECT_EQ(Apply({ExecuteCommand(twice, {text})}).at(0).status.code(),
            StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace cairn::state_machine
