// State that a connection of SQLite remembers, and that a command must not see.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "state_machine/sqlite/replicas_test_util.h"

namespace cairn::state_machine {
namespace {

TEST(Determinism, ConnectionStateDoesNotSurviveACommand) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  replicas.Must("CREATE TABLE seen(rowid_, changes_, total)");
  replicas.Must("INSERT INTO t VALUES(1), (2), (3)");
  // The restarted replica remembers nothing, so the others must not either.
  for (const char* sql : {"INSERT INTO seen VALUES(last_insert_rowid(), 0, 0)",
                          "INSERT INTO seen SELECT 0, changes(), 0",
                          "UPDATE t SET x = 1 WHERE total_changes() = 0"}) {
    const CommandResult refused = replicas.Execute(sql);
    EXPECT_EQ(refused.status.code(), StatusCode::kFailedPrecondition) << refused.status;
    EXPECT_THAT(refused.status.message(), testing::HasSubstr("earlier statements"));
  }
  EXPECT_EQ(replicas
                .Execute({{"UPDATE t SET x = 1", {}, {}},
                          {"INSERT INTO seen VALUES(last_insert_rowid(), 0, 0)", {}, {}}})
                .status.code(),
            StatusCode::kFailedPrecondition);
  EXPECT_TRUE(replicas
                  .Execute({{"UPDATE t SET x = 1 WHERE x = 7", {}, {}},
                            {"INSERT INTO seen VALUES(0, changes(), total_changes())", {}, {}},
                            {"UPDATE seen SET rowid_ = last_insert_rowid()", {}, {}}})
                  .status.ok());
  EXPECT_EQ(replicas.Query("SELECT * FROM seen"), "1|0|0");
  const CommandResult ddl = replicas.Must("CREATE TABLE other(x)");
  EXPECT_EQ(ddl.statements[0].rows_affected, 0);
  EXPECT_EQ(ddl.statements[0].last_insert_id, 0);
  replicas.Check();
}

// A trigger, a view and a DEFAULT call the function in place of the statement that uses them.
TEST(Determinism, ChangesWithoutAStatementBeforeAreRefusedWhereverTheCallStands) {
  Replicas replicas;
  for (const char* sql :
       {"CREATE TABLE t(x)", "CREATE TABLE seen(n)",
        "CREATE TABLE by_default(x, n DEFAULT (changes()))",
        "CREATE TABLE total(x, n DEFAULT (1 + total_changes()))",
        "CREATE TABLE rowid_of(x, n DEFAULT (last_insert_rowid()))",
        "CREATE VIEW changed AS SELECT changes() AS n", "CREATE TABLE u(x)",
        "CREATE TRIGGER of_u BEFORE INSERT ON u BEGIN INSERT INTO seen VALUES(changes()); END",
        "CREATE TABLE v(x)",
        "CREATE TRIGGER of_v BEFORE INSERT ON v BEGIN INSERT INTO seen SELECT n FROM changed; END",
        "CREATE TABLE w(x)",
        "CREATE TRIGGER of_w BEFORE INSERT ON w BEGIN INSERT INTO by_default(x) VALUES(1); END",
        "INSERT INTO t VALUES(1), (2)"}) {
    replicas.Must(sql);
  }
  for (const std::string sql :
       {"INSERT INTO by_default(x) VALUES(1)", "INSERT INTO total(x) VALUES(1)",
        "INSERT INTO rowid_of(x) VALUES(1)", "INSERT INTO seen SELECT n FROM changed",
        "INSERT INTO u VALUES(1)", "INSERT INTO v VALUES(1)", "INSERT INTO w VALUES(1)",
        "CREATE TABLE made AS SELECT changes() AS n"}) {
    // Twice in one entry: the second statement is known, and runs without a savepoint.
    for (const CommandResult& refused :
         replicas.DoAll({ExecuteCommand("UPDATE t SET x = x"), ExecuteCommand(sql),
                         ExecuteCommand(sql), ExecuteCommand("UPDATE t SET x = x")})) {
      if (refused.status.ok()) continue;
      EXPECT_EQ(refused.status.code(), StatusCode::kFailedPrecondition) << sql << refused.status;
      EXPECT_THAT(refused.status.message(), testing::HasSubstr("earlier statements")) << sql;
    }
    EXPECT_FALSE(replicas.Execute(sql).status.ok()) << sql;
  }
  EXPECT_EQ(replicas.Query("SELECT * FROM seen"), "");
  for (const std::string sql :
       {"INSERT INTO by_default(x) VALUES(1)", "INSERT INTO total(x) VALUES(1)",
        "INSERT INTO seen SELECT n FROM changed", "INSERT INTO u VALUES(1)",
        "INSERT INTO v VALUES(1)", "INSERT INTO w VALUES(1)"}) {
    const CommandResult right = replicas.Execute({{"UPDATE t SET x = x", {}, {}}, {sql, {}, {}}});
    EXPECT_TRUE(right.status.ok()) << sql << right.status;
  }
  replicas.Must("INSERT INTO by_default VALUES(1, 7)");  // the DEFAULT is not used
  EXPECT_EQ(replicas.Query("SELECT n FROM by_default"), "2 2 7");
  EXPECT_EQ(replicas.Query("SELECT n FROM total"), "3");
  EXPECT_EQ(replicas.Query("SELECT n FROM seen"), "2 2 2");
  replicas.Check();
}

// "UPDATE, and INSERT if that changed nothing" within a trigger: the trigger's own statement
// answers.
TEST(Determinism, ChangesInATriggerTellOfTheTriggersOwnStatements) {
  Replicas replicas;
  for (const char* sql :
       {"CREATE TABLE t(x)", "CREATE TABLE counts(x, n)",
        "CREATE TRIGGER tr AFTER INSERT ON t BEGIN UPDATE counts SET n = n + 1 WHERE x = new.x;"
        " INSERT INTO counts SELECT new.x, 1 WHERE changes() = 0; END",
        "CREATE TABLE ids(id)",
        "CREATE TRIGGER id AFTER INSERT ON t BEGIN INSERT INTO ids VALUES(last_insert_rowid()); "
        "END"}) {
    replicas.Must(sql);
  }
  replicas.Must("INSERT INTO t VALUES(5), (6), (5)");
  replicas.DoAll({ExecuteCommand("INSERT INTO t VALUES(6), (7)"),
                  ExecuteCommand("INSERT INTO t VALUES(6), (7)")});
  EXPECT_EQ(replicas.Query("SELECT * FROM counts"), "5|2 6|3 7|2");
  EXPECT_EQ(replicas.Query("SELECT id FROM ids"), "1 2 3 4 5 6 7");
  replicas.Check();
}

// changes() asked between two triggers tells of a command before, where there is no savepoint. What
// ran into its budget for that must be run again, and not be left out.
TEST(Determinism, ChangesInDoubtDoNotExhaustACommandOnWarmReplicasAlone) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  replicas.Must("CREATE TABLE seen(x)");
  replicas.Must("CREATE VIEW changed AS SELECT changes() AS n");
  replicas.Must("INSERT INTO t VALUES(1), (2), (3)");
  replicas.Must("CREATE TRIGGER tr AFTER UPDATE ON t BEGIN INSERT INTO seen VALUES(1); END");
  const std::string in_doubt =
      "UPDATE t SET x = (WITH RECURSIVE n(i) AS (SELECT t.rowid UNION ALL SELECT i + 1 FROM n WHERE"
      " i < 10 OR iif(t.rowid = 1, 0, (SELECT n FROM changed)) <> 0) SELECT count(*) FROM n)";
  replicas.header.command_steps_max = 100'000;
  for (int i = 0; i < 3; ++i) {
    const Status refused = replicas.Execute(in_doubt).status;
    EXPECT_EQ(refused.code(), StatusCode::kFailedPrecondition) << refused;
  }
  EXPECT_EQ(replicas.Query("SELECT x FROM t"), "1 2 3");
  replicas.Check();
}

}  // namespace
}  // namespace cairn::state_machine
