// A command of one known statement runs without a savepoint, and leaves the same as with one.
//
// Each statement is given twice. The first time it is new and has a savepoint; the second time it
// is known and has none. The replica that restarts before each entry knows no statement.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "state_machine/sqlite/replicas_test_util.h"

namespace cairn::state_machine {
namespace {

const char* const kSchema[] = {
    "CREATE TABLE t(x INTEGER PRIMARY KEY, y UNIQUE, z CHECK(z <> 13))",
    "CREATE TABLE w(x PRIMARY KEY, y) WITHOUT ROWID",
    "CREATE TABLE fails(x INTEGER PRIMARY KEY, y UNIQUE ON CONFLICT FAIL)",
    "CREATE TABLE parent(x INTEGER PRIMARY KEY)",
    "CREATE TABLE child(x REFERENCES parent DEFERRABLE INITIALLY DEFERRED)",
    "CREATE TABLE numbered(x INTEGER PRIMARY KEY AUTOINCREMENT, y)",
    "CREATE TABLE guarded(x)",
    "CREATE TABLE strict(x INTEGER) STRICT",
    "CREATE TABLE ends(x UNIQUE ON CONFLICT ROLLBACK)",
    R"(CREATE TRIGGER guard AFTER INSERT ON guarded WHEN new.x = 13 BEGIN
         INSERT INTO w VALUES('trigger', 1); SELECT RAISE(FAIL, 'thirteen'); END)",
    "INSERT INTO t VALUES(1, 10, 0), (2, 20, 0), (3, 30, 0), (4, 40, 0)",
    "INSERT INTO w VALUES(1, 1), (2, 2), (3, 3)",
    "INSERT INTO fails VALUES(1, 1)",
    "INSERT INTO strict VALUES(1), (2)",
    "INSERT INTO ends VALUES(1)",
};

// All of these fail, most of them after they have changed rows.
const char* const kFailing[] = {
    "INSERT INTO t VALUES(5, 50, 0), (6, 60, 0), (7, 10, 0)",
    "INSERT INTO t VALUES(5, 50, 0), (6, 60, 13)",
    "INSERT OR FAIL INTO t VALUES(5, 50, 0), (6, 10, 0)",
    "INSERT OR ROLLBACK INTO t VALUES(5, 50, 0), (6, 10, 0)",
    "INSERT OR REPLACE INTO t(x, y) VALUES(1, 77), ('no number', 78)",
    "INSERT OR IGNORE INTO t(x, y) VALUES(5, 77), ('no number', 78)",
    "UPDATE OR FAIL t SET y = 99",
    "UPDATE OR IGNORE t SET z = CASE x WHEN 4 THEN json_extract('{', '$') ELSE 7 END",
    "UPDATE OR REPLACE t SET z = CASE x WHEN 3 THEN zeroblob(20000000) ELSE 7 END",
    "DELETE FROM t WHERE x < CASE x WHEN 3 THEN json_extract('{', '$') ELSE 7 END",
    "INSERT INTO t(x) VALUES(5), (9223372036854775807)",
    "INSERT OR FAIL INTO w VALUES(5, 5), (1, 1)",
    "INSERT OR REPLACE INTO w VALUES(1, 'new'), (7, json_extract('{', '$'))",
    "INSERT INTO fails VALUES(5, 5), (6, 1)",
    "INSERT INTO child VALUES(99)",
    "INSERT INTO guarded VALUES(12), (13)",
    "INSERT OR FAIL INTO numbered VALUES(NULL, 1), (NULL, 2), (1, 3)",
    "INSERT INTO t(x) SELECT x + 10 FROM t RETURNING zeroblob(900000)",
    "INSERT INTO strict VALUES(5), (6), ('x')",
    "UPDATE strict SET x = CASE x WHEN 2 THEN 'x' ELSE 8 END",
    "INSERT INTO ends VALUES(5), (1), (6)",
    R"(INSERT INTO t(x, y, z) VALUES(50, 8, 0), (60, 9, 0), (1, 9, 0)
         ON CONFLICT(x) DO UPDATE SET y = 8)",
    R"(INSERT INTO w SELECT 10 + value, CAST(zeroblob(9000000 * (value = 3)) AS TEXT) ||
         CAST(zeroblob(9000000 * (value = 3)) AS TEXT) FROM json_each('[1, 2, 3]'))",
    "REPLACE INTO t VALUES(1, zeroblob(9000000), zeroblob(9000000))",
    R"(INSERT INTO guarded SELECT j.value FROM json_each('[1, 2, 3]') AS i,
         json_each(iif(i.value = 3, '[', '[4, 5]')) AS j)",
    R"(INSERT INTO guarded WITH RECURSIVE n(i) AS (SELECT 20 UNION ALL SELECT i + 1 FROM n)
         SELECT i FROM n)",
};

std::vector<std::string> TablesOf(Replicas* replicas) {
  std::vector<std::string> rows;
  for (const std::string table :
       {"t", "w", "fails", "child", "guarded", "numbered", "strict", "ends"}) {
    rows.push_back(replicas->Query("SELECT * FROM " + table));
  }
  rows.push_back(replicas->Query("SELECT * FROM sqlite_sequence"));
  return rows;
}

TEST(Savepoints, ACommandThatFailsWithoutOneLeavesNothing) {
  for (const std::string failing : kFailing) {
    SCOPED_TRACE(failing);
    Replicas replicas;
    for (const char* sql : kSchema) replicas.Must(sql);
    replicas.header.command_steps_max = 50'000;
    const CommandResult first = replicas.Execute(failing);
    EXPECT_FALSE(first.status.ok());
    const std::vector<std::string> before = TablesOf(&replicas);
    const auto results = replicas.DoAll(
        {WithId(ExecuteCommand("INSERT INTO guarded VALUES(1)"), "s", 1),
         WithId(ExecuteCommand(failing), "s", 2), ExecuteCommand(failing),
         WithId(ExecuteCommand("DELETE FROM guarded WHERE x = ?1", {int64_t{1}}), "s", 3)});
    EXPECT_TRUE(results[0].status.ok()) << results[0].status;
    EXPECT_EQ(results[1].status, first.status);
    EXPECT_EQ(results[2].status, first.status);
    EXPECT_TRUE(results[3].status.ok()) << results[3].status;
    EXPECT_EQ(results[3].statements.at(0).rows_affected, 1);
    EXPECT_EQ(TablesOf(&replicas), before);
    replicas.Check();
  }
}

// A batch is applied again once, not once for each command in it that fails.
TEST(Savepoints, ABatchOfCommandsThatAllFailHalfWayIsStillAppliedInLinearTime) {
  Replicas replicas(/*restarts=*/false);
  replicas.Must("CREATE TABLE t(x UNIQUE)");
  replicas.Must("INSERT INTO t VALUES(1)");
  const std::string failing = "INSERT OR FAIL INTO t VALUES(2), (3), (4), (5), (1)";
  EXPECT_FALSE(replicas.Execute(failing).status.ok());
  for (const CommandResult& result :
       replicas.DoAll(std::vector<Command>(kCommandsPerBatchMax, ExecuteCommand(failing)))) {
    ASSERT_EQ(result.status.code(), StatusCode::kAlreadyExists);
  }
  EXPECT_EQ(replicas.Query("SELECT x FROM t"), "1");
  replicas.Check();
}

// changes() counts only the command: nothing before it, and the work of its triggers as SQLite
// counts it.
TEST(Savepoints, ChangesAreOfTheCommandAlsoWithoutOne) {
  Replicas replicas;
  for (const char* sql :
       {"CREATE TABLE t(x, c DEFAULT (changes()))", "CREATE TABLE u(x)", "CREATE TABLE v(x)",
        "CREATE TABLE seen(place, c)",
        "CREATE VIEW changed AS SELECT changes() AS c, total_changes() AS total",
        "CREATE TRIGGER first AFTER INSERT ON u BEGIN DELETE FROM seen WHERE place = 'none';"
        " INSERT INTO seen VALUES('none', changes()), ('two', total_changes());"
        " INSERT INTO seen VALUES('after', changes()); END",
        "CREATE TRIGGER second AFTER INSERT ON u BEGIN INSERT INTO seen VALUES('second', 0);"
        " INSERT INTO seen VALUES('behind', changes()); END",
        "CREATE TRIGGER deep AFTER INSERT ON v BEGIN INSERT INTO u VALUES(new.x);"
        " INSERT INTO seen VALUES('deep', changes()); END",
        "INSERT INTO t VALUES(1, 0), (2, 0), (3, 0)"}) {
    replicas.Must(sql);
  }
  const auto rows = [&] {
    std::string seen = replicas.Query("SELECT place, c FROM seen");
    replicas.Must("DELETE FROM seen");
    return seen;
  };
  for (const std::string sql :
       {"INSERT INTO t SELECT 4, c FROM changed", "INSERT INTO t(x) VALUES(5)",
        "INSERT INTO u VALUES(1), (2)", "INSERT INTO v VALUES(1)",
        "UPDATE t SET c = (SELECT c + 10 * total FROM changed) WHERE x < 3"}) {
    SCOPED_TRACE(sql);
    const Status with_savepoint = replicas.Execute(sql).status;
    const std::string rows_with_savepoint = rows();
    replicas.Must("UPDATE t SET x = x");
    const auto results = replicas.DoAll({ExecuteCommand("UPDATE t SET x = x"), ExecuteCommand(sql),
                                         ExecuteCommand("UPDATE t SET x = x")});
    EXPECT_EQ(results[1].status, with_savepoint);
    EXPECT_EQ(with_savepoint.ok(), sql.find("VALUES(1)") != std::string::npos) << with_savepoint;
    EXPECT_EQ(rows(), rows_with_savepoint);
  }
  EXPECT_EQ(replicas.Query("SELECT count(*) FROM t"), "3");
  replicas.Check();
}

// The command sees the changes of its own statements, and none of the commands before it.
TEST(Savepoints, ChangesOfCommandsWithoutOneAreNotSeenByThoseWithOne) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  replicas.Must("CREATE TABLE seen(c, total)");
  replicas.Must("CREATE VIEW changed AS SELECT changes(), total_changes()");
  const Command three = ExecuteCommand("INSERT INTO t VALUES(1), (2), (3)");
  replicas.DoAll({three});
  Command several;
  several.operation = Execute{{{"DELETE FROM t WHERE x > 7", {}, {}},
                               {"INSERT INTO seen SELECT * FROM changed", {}, {}},
                               {"INSERT INTO t VALUES(4), (5)", {}, {}},
                               {"INSERT INTO seen SELECT * FROM changed", {}, {}}}};
  replicas.DoAll({three, several, three});
  EXPECT_EQ(replicas.Query("SELECT c, total FROM seen"), "0|0 2|3");
  replicas.Check();
}

// As in SQLite, the function answers anew each time, so no stored value may depend on it.
TEST(Savepoints, ChangesIsNoFunctionForAnIndexOrAGeneratedColumn) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  for (const char* sql :
       {"CREATE INDEX i ON t(changes())", "CREATE INDEX i ON t(x) WHERE changes() = 0",
        "CREATE TABLE g(x, y AS (changes()))", "ALTER TABLE t ADD COLUMN y AS (changes())"}) {
    EXPECT_FALSE(replicas.Execute(sql).status.ok()) << sql;
  }
  EXPECT_THAT(replicas.Execute("INSERT INTO t VALUES(changes(1))").status.message(),
              testing::HasSubstr("wrong number of arguments to function changes()"));
  replicas.Check();
}

TEST(Savepoints, RowsAffectedAreOfTheCommandAlsoWithoutOne) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  replicas.Must("INSERT INTO t VALUES(1), (2), (3)");
  for (int i = 0; i < 2; ++i) {
    const auto results = replicas.DoAll({ExecuteCommand("UPDATE t SET x = x + 1"),
                                         ExecuteCommand("DELETE FROM t WHERE x > 100"),
                                         ExecuteCommand("UPDATE t SET x = x WHERE x = 2")});
    EXPECT_EQ(results[0].statements.at(0).rows_affected, 3);
    EXPECT_EQ(results[1].statements.at(0).rows_affected, 0);
    EXPECT_EQ(results[1].statements.at(0).last_insert_id, 0);
    EXPECT_EQ(results[2].statements.at(0).rows_affected, i == 0 ? 1 : 0);
  }
  replicas.Check();
}

}  // namespace
}  // namespace cairn::state_machine
