// A failed command leaves nothing, and does not harm its neighbours.

#include <gtest/gtest.h>

#include "state_machine/sqlite/replicas_test_util.h"

namespace cairn::state_machine {
namespace {

// Each conflict clause stands between two other commands in one entry, so in one SQLite
// transaction.
class ConflictModes : public testing::TestWithParam<std::string> {};
// There is no RAISE(REPLACE).
class RaiseModes : public testing::TestWithParam<std::string> {};

TEST_P(ConflictModes, ConstraintsTakeOnlyTheirOwnCommandBack) {
  Replicas replicas;
  const std::string mode = GetParam();
  replicas.Must("CREATE TABLE t(id INTEGER PRIMARY KEY, x UNIQUE NOT NULL)");
  replicas.Must("INSERT INTO t VALUES(1, 10)");
  const std::vector<CommandResult> results = replicas.DoAll(
      {WithId(ExecuteCommand("INSERT INTO t VALUES(2, 20)"), "s", 1),
       WithId(ExecuteCommand("INSERT OR " + mode + " INTO t VALUES(3, 30), (4, 10), (5, 50)"), "s",
              2),
       WithId(ExecuteCommand("INSERT INTO t VALUES(6, 60)"), "s", 3)});
  EXPECT_TRUE(results[0].status.ok()) << results[0].status;
  EXPECT_TRUE(results[2].status.ok()) << results[2].status;
  const std::string rows = replicas.Query("SELECT id FROM t ORDER BY id");
  if (mode == "IGNORE") {
    EXPECT_EQ(rows, "1 2 3 5 6");
  } else if (mode == "REPLACE") {
    EXPECT_EQ(rows, "2 3 4 5 6");
  } else {
    EXPECT_EQ(results[1].status.code(), StatusCode::kAlreadyExists) << results[1].status;
    EXPECT_EQ(results[1].status.outcome(), Outcome::kApplied);
    EXPECT_EQ(rows, "1 2 6");
  }
  replicas.Check();
}

TEST_P(RaiseModes, RaiseTakesOnlyItsOwnCommandBack) {
  const std::string mode = GetParam();
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  replicas.Must("CREATE TRIGGER tr BEFORE INSERT ON t WHEN new.x = 13 BEGIN SELECT RAISE(" + mode +
                (mode == "IGNORE" ? "" : ", 'thirteen'") + "); END");
  const std::vector<CommandResult> results =
      replicas.DoAll({ExecuteCommand("INSERT INTO t VALUES(1)"),
                      ExecuteCommand("INSERT INTO t VALUES(12), (13), (14)"),
                      ExecuteCommand("INSERT INTO t VALUES(2)")});
  const std::string rows = replicas.Query("SELECT x FROM t ORDER BY x");
  if (mode == "IGNORE") {
    EXPECT_EQ(rows, "1 2 12 14");
  } else {
    EXPECT_EQ(results[1].status.message(), "thirteen");
    EXPECT_EQ(rows, "1 2");
  }
  replicas.Check();
}

INSTANTIATE_TEST_SUITE_P(All, ConflictModes,
                         testing::Values("ROLLBACK", "ABORT", "FAIL", "IGNORE", "REPLACE"));

INSTANTIATE_TEST_SUITE_P(All, RaiseModes, testing::Values("ROLLBACK", "ABORT", "FAIL", "IGNORE"));

TEST(Failures, ALostTransactionIsAppliedAgainWithSessionsVersionsAndSchema) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x UNIQUE)");
  replicas.Must("INSERT INTO t VALUES(1)");
  const int64_t version = replicas.Version("");
  Command prepare;
  prepare.operation = Prepare{"tx", {"INSERT INTO u VALUES(1)", {}, {}}, 0};
  const std::vector<CommandResult> results =
      replicas.DoAll({WithId(ExecuteCommand("INSERT INTO t VALUES(2)"), "s", 1),
                      WithId(ExecuteCommand("CREATE TABLE u(y)"), "s", 2), prepare,
                      WithId(ExecuteCommand("INSERT OR ROLLBACK INTO t VALUES(1)"), "s", 3),
                      WithId(ExecuteCommand("INSERT INTO t VALUES(3)"), "s", 4),
                      WithId(ExecuteCommand("INSERT OR ROLLBACK INTO t VALUES(3)"), "s", 5),
                      WithId(ExecuteCommand("INSERT INTO t VALUES(2)"), "s", 1)});
  EXPECT_EQ(results[3].status.code(), StatusCode::kAlreadyExists);
  EXPECT_EQ(results[5].status.code(), StatusCode::kAlreadyExists);
  EXPECT_TRUE(results[6].status.ok()) << results[6].status;
  EXPECT_EQ(replicas.Query("SELECT x FROM t ORDER BY x"), "1 2 3");
  EXPECT_EQ(replicas.Version(""), version + 3);
  EXPECT_EQ(replicas.Transaction("tx").state, TxState::kPrepared);
  replicas.Check();
}

TEST(Failures, AllStatementsOfACommandOrNone) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x UNIQUE)");
  const CommandResult result = replicas.Execute({{"INSERT INTO t VALUES(1)", {}, {}},
                                                 {"CREATE TABLE u(x)", {}, {}},
                                                 {"INSERT INTO t VALUES(1)", {}, {}}});
  EXPECT_EQ(result.status.code(), StatusCode::kAlreadyExists);
  EXPECT_EQ(result.status.message(), "statement 3: UNIQUE constraint failed: t.x");
  EXPECT_TRUE(result.statements.empty());
  EXPECT_EQ(replicas.Query("SELECT count(*) FROM t"), "0");
  EXPECT_EQ(replicas.Execute("INSERT INTO u VALUES(1)").status.message(), "no such table: u");
  replicas.Check();
}

TEST(Failures, ResultsSayRowsIdsAndReturning) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(id INTEGER PRIMARY KEY, x TEXT)");
  const CommandResult insert =
      replicas.Must("INSERT INTO t(x) VALUES('a'), ('b') RETURNING id, x AS y");
  ASSERT_EQ(insert.statements.size(), 1u);
  EXPECT_EQ(insert.statements[0].rows_affected, 2);
  EXPECT_EQ(insert.statements[0].last_insert_id, 2);
  ASSERT_EQ(insert.statements[0].columns.size(), 2u);
  EXPECT_EQ(insert.statements[0].columns[1], (Column{"y", "TEXT"}));
  EXPECT_EQ(insert.statements[0].rows[1], (Row{int64_t{2}, std::string("b")}));
  EXPECT_EQ(replicas.Must("DELETE FROM t").statements[0].rows_affected, 2);
  replicas.Check();
}

TEST(Failures, TooManyRowsOfReturningUndoTheCommand) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  const CommandResult result =
      replicas.Execute("INSERT INTO t VALUES(zeroblob(700000)), (zeroblob(700000)) RETURNING x");
  EXPECT_EQ(result.status.code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(replicas.Query("SELECT count(*) FROM t"), "0");
  replicas.Check();
}

// The answer would name each column with its type.
TEST(Failures, TooLongTypesOfReturningUndoTheCommand) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x " + std::string(300'000, 'y') + ")");
  const Statement three = {"INSERT INTO t VALUES(1) RETURNING x, x, x", {}, {}};
  replicas.Must(three.sql);
  for (const CommandResult& result :
       {replicas.Execute({three, three}),
        replicas.Execute("UPDATE t SET x = 2 RETURNING x, x, x, x")}) {
    EXPECT_EQ(result.status.code(), StatusCode::kResourceExhausted) << result.status;
  }
  EXPECT_EQ(replicas.Query("SELECT x FROM t"), "1");
  replicas.Check();
}

TEST(Failures, WhatIsWrongWithAStatementIsAResultNotTrouble) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x INTEGER PRIMARY KEY)");
  EXPECT_EQ(replicas.Execute("INSERT INTO t VALUES(").status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(replicas.Execute("").status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(replicas.Execute("SELECT 1").status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(replicas.Execute("EXPLAIN DELETE FROM t").status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(replicas.Execute("PRAGMA user_version").status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(replicas.Execute("INSERT INTO t VALUES(1); DELETE FROM t").status.message(),
            "the text holds more than one statement");
  EXPECT_EQ(replicas.Execute("INSERT INTO t VALUES('x')").status.message(), "datatype mismatch");
  EXPECT_EQ(replicas.Execute("INSERT INTO t VALUES(?1)").status.code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(replicas.Execute("INSERT INTO t VALUES(zeroblob(100000000))").status.code(),
            StatusCode::kResourceExhausted);
  EXPECT_EQ(replicas.Execute("INSERT INTO t SELECT 1 FROM missing").status.message(),
            "no such table: missing");
  EXPECT_TRUE(replicas.Execute("INSERT INTO t VALUES(1); -- one\n ;").status.ok());
  replicas.Check();
}

TEST(Failures, AFullTextIndexToldOfContentItNeverHadFailsAsAResult) {
  Replicas replicas;
  replicas.Must("CREATE TABLE content(id INTEGER PRIMARY KEY, body)");
  replicas.Must("CREATE VIRTUAL TABLE f USING fts5(body, content='content', content_rowid='id')");
  replicas.Must("INSERT INTO content VALUES(1, 'words')");
  const std::string check = "INSERT INTO f(f, rank) VALUES('integrity-check', 1)";
  EXPECT_FALSE(replicas.Do(MaintenanceCommand(check)).status.ok());
  replicas.Maintain("INSERT INTO f(f) VALUES('rebuild')");
  replicas.Maintain(check);
  replicas.Check();
}

// SQLite reports a full disk. A row that is ignored moves the sequence too, and no hook reports the
// row.
TEST(Failures, TheEndOfASequenceIsAResultNotTrouble) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  replicas.Must("CREATE TABLE a(id INTEGER PRIMARY KEY AUTOINCREMENT, y UNIQUE)");
  replicas.Must("CREATE TRIGGER also AFTER INSERT ON t BEGIN INSERT INTO a(y) VALUES(new.x); END");
  replicas.Must("INSERT INTO a(y) VALUES(1)");
  replicas.Must("INSERT OR IGNORE INTO a VALUES(9223372036854775807, 1)");
  const Command insert = ExecuteCommand("INSERT INTO a(y) VALUES(2)");
  const Command by_trigger = ExecuteCommand("INSERT INTO t VALUES(3), (4)");
  Command prepare;
  prepare.operation = Prepare{"tx", {"INSERT INTO a(y) VALUES(5)", {}, {}}, 0};
  for (int i = 0; i < 2; ++i) {  // compiled anew, and known
    const std::vector<CommandResult> results = replicas.DoAll(
        {ExecuteCommand("UPDATE a SET y = y + 10"), insert, by_trigger, prepare, insert});
    EXPECT_TRUE(results[0].status.ok());
    for (size_t n = 1; n < results.size(); ++n) {
      EXPECT_EQ(results[n].status.code(), StatusCode::kFailedPrecondition) << results[n].status;
    }
  }
  EXPECT_EQ(replicas.Query("SELECT * FROM a"), "1|21");
  EXPECT_EQ(replicas.Query("SELECT * FROM t"), "");
  replicas.Must("UPDATE sqlite_sequence SET seq = 100");
  replicas.Must("INSERT INTO a(y) VALUES(2)");
  EXPECT_EQ(replicas.Query("SELECT id FROM a"), "1 101");
  replicas.Check();
}

// A client can make the index merge nothing until it can take no other segment. The index reports
// that when the command ends.
TEST(Failures, TheEndOfAFullTextIndexIsAResultNotTrouble) {
  Replicas replicas(/*restarts=*/false);
  replicas.Must("CREATE TABLE t(x)");
  replicas.Must("CREATE VIRTUAL TABLE f USING fts5(body)");
  replicas.Must("INSERT INTO f(f, rank) VALUES('automerge', 0), ('crisismerge', 5000)");
  const Command insert = ExecuteCommand("INSERT INTO f VALUES('word')");
  bool ended = false;
  for (int i = 0; i < 50 && !ended; ++i) {
    for (const CommandResult& result : replicas.DoAll(std::vector<Command>(100, insert))) {
      EXPECT_TRUE(result.status.ok() || result.status.code() == StatusCode::kFailedPrecondition);
      ended = ended || !result.status.ok();
    }
  }
  EXPECT_TRUE(ended);
  const std::string rows = replicas.Query("SELECT count(*) FROM f");
  Command prepare;
  prepare.operation = Prepare{"tx", {"INSERT INTO f VALUES('more')", {}, {}}, 0};
  Command commit;
  commit.operation = Commit{"tx"};
  for (const Command& each : {insert, prepare, commit}) {
    const std::vector<CommandResult> results = replicas.DoAll(
        {ExecuteCommand("INSERT INTO t VALUES(1)"), each, ExecuteCommand("UPDATE t SET x = 2")});
    EXPECT_TRUE(results[0].status.ok()) << results[0].status;
    EXPECT_TRUE(results[2].status.ok()) << results[2].status;
    EXPECT_EQ(results[1].status.ok(), std::holds_alternative<Prepare>(each.operation))
        << results[1].status;
  }
  EXPECT_EQ(replicas.Query("SELECT count(*) FROM f"), rows);
  EXPECT_EQ(replicas.Query("SELECT x FROM t"), "2 2 2");
  replicas.Check();
}

// The statement that reads all columns is longer than the statement that made them, and so is the
// text that CREATE TABLE AS leaves in the schema.
TEST(Failures, NamesThatGrowWhenTheyAreQuotedAreNoTrouble) {
  Replicas replicas;
  replicas.Must("CREATE TABLE a([" + std::string(900'000, '"') + "])");
  replicas.Must("INSERT INTO a VALUES(1)");
  replicas.Must("CREATE TABLE b AS SELECT * FROM a");
  replicas.Must("CREATE TABLE c(x)");
  replicas.Must("UPDATE c SET x = 1");
  EXPECT_EQ(replicas.Query("SELECT * FROM b"), "1");
  replicas.Check();
}

// The function sees that the value came from json(), but only until the value is stored.
TEST(Failures, AnIndexThatDoesNotFindItsEntryFailsAsAResult) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(a)");
  replicas.Must("CREATE INDEX i ON t(json_array(a))");
  replicas.Must("INSERT INTO t VALUES(json('[1]'))");
  for (int i = 0; i < 2; ++i) {  // compiled anew, and known
    EXPECT_EQ(replicas.Execute("DELETE FROM t").status.code(), StatusCode::kFailedPrecondition);
    replicas.Must("INSERT INTO t VALUES(2)");
  }
  EXPECT_EQ(replicas.Query("SELECT count(*) FROM t"), "3");
  replicas.Must("REINDEX i");
  replicas.Must("DELETE FROM t");
  replicas.Check();
}

// The same happens without JSON in the schema.
TEST(Failures, AnIndexOverSubtypesThatDoesNotFindItsEntryFailsAsAResult) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(a)");
  replicas.Must("CREATE INDEX i ON t(subtype(a))");
  replicas.Must("INSERT INTO t VALUES(json('[1]'))");
  for (int i = 0; i < 2; ++i) {  // compiled anew, and known
    EXPECT_EQ(replicas.Execute("DELETE FROM t").status.code(), StatusCode::kFailedPrecondition);
    replicas.Must("INSERT INTO t VALUES(2)");
  }
  replicas.Must("REINDEX i");
  replicas.Must("DELETE FROM t");
  replicas.Check();
}

// If a row is not in a partial index when it is read again, its entry stays when the row goes.
TEST(Failures, AnEntryOfAPartialIndexThatFindsNoRowFailsAsAResult) {
  for (const std::string condition : {"json_array(a) = '[[1]]'", "subtype(a) = 74"}) {
    Replicas replicas;
    replicas.Must("CREATE TABLE t(a, b)");
    replicas.Must("CREATE VIRTUAL TABLE f USING fts5(x)");
    replicas.Must("CREATE TABLE counted(x CHECK(x > total_changes()))");
    ASSERT_TRUE(
        replicas.Execute({{"DELETE FROM t", {}, {}}, {"INSERT INTO counted VALUES(1)", {}, {}}})
            .status.ok());
    replicas.Must("CREATE INDEX i ON t(a) WHERE " + condition);
    replicas.Must("INSERT INTO t VALUES(json('[1]'), 1), (2, 2)");
    replicas.Must("DELETE FROM t WHERE b = 1");
    const std::string of_index = " t INDEXED BY i WHERE " + condition;
    for (int i = 0; i < 2; ++i) {
      for (const std::string& sql :
           {"DELETE FROM" + of_index, "UPDATE t INDEXED BY i SET b = 3 WHERE " + condition,
            "INSERT INTO f SELECT b FROM" + of_index}) {
        const std::vector<CommandResult> results =
            replicas.DoAll({ExecuteCommand("INSERT INTO t VALUES(5, 5)"), ExecuteCommand(sql),
                            ExecuteCommand("DELETE FROM t WHERE b = 5")});
        EXPECT_TRUE(results[0].status.ok()) << results[0].status;
        EXPECT_EQ(results[1].status.code(), StatusCode::kFailedPrecondition) << sql;
        // All pages of the file were read to tell this from damage.
        EXPECT_GE(results[1].steps, replicas.header.command_steps_max) << sql;
        EXPECT_TRUE(results[2].status.ok()) << results[2].status;
      }
      replicas.Must("INSERT INTO t VALUES(4, 4)");
    }
    replicas.Must("REINDEX i");
    replicas.Must("DELETE FROM" + of_index);
    replicas.Check();
  }
}

TEST(Failures, ALongPatternOfLikeOrGlobIsRefused) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  replicas.Must("INSERT INTO t VALUES('abc')");
  for (const char* op : {"LIKE", "GLOB"}) {
    const std::string sql = std::string("UPDATE t SET x = 'seen' WHERE x NOT ") + op + " ?1";
    const CommandResult result = replicas.Execute(sql, {std::string(1001, 'a')});
    EXPECT_EQ(result.status.code(), StatusCode::kInvalidArgument) << result.status;
    EXPECT_EQ(replicas.Query("SELECT x FROM t"), "abc");
  }
  replicas.Must("UPDATE t SET x = 'seen' WHERE x NOT LIKE ?1", {std::string(1000, 'a')});
  EXPECT_EQ(replicas.Query("SELECT x FROM t"), "seen");
  replicas.Check();
}

TEST(Failures, AVirtualTableWrittenWithRecursionIsRefused) {
  Replicas replicas;
  replicas.Must("CREATE VIRTUAL TABLE f USING fts5(body)");
  EXPECT_EQ(replicas
                .Execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
                         " INSERT INTO f SELECT i FROM n")
                .status.code(),
            StatusCode::kInvalidArgument);
  replicas.Check();
}

// ---- What is refused for good -------------------------------------------------------------------

TEST(Authorizer, RefusesWhatIsNotReplicated) {
  Replicas replicas(/*restarts=*/false);
  replicas.Must("CREATE TABLE t(x)");
  for (const char* sql :
       {"CREATE TEMP TABLE u(x)", "CREATE TEMP VIEW v AS SELECT 1",
        "CREATE TEMP TRIGGER tr AFTER INSERT ON t BEGIN SELECT 1; END",
        "ATTACH ':memory:' AS other", "DETACH main", "BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT s",
        "RELEASE command", "ROLLBACK TO command", "PRAGMA writable_schema = 1",
        "PRAGMA journal_mode = DELETE", "PRAGMA foreign_keys = OFF", "PRAGMA synchronous = OFF",
        "PRAGMA defer_foreign_keys = ON", "PRAGMA case_sensitive_like = ON",
        "INSERT INTO t VALUES(load_extension('x'))", "CREATE VIRTUAL TABLE d USING dbstat"}) {
    EXPECT_EQ(replicas.Execute(sql).status.code(), StatusCode::kPermissionDenied) << sql;
  }
  EXPECT_FALSE(replicas.Execute("VACUUM").status.ok());
  EXPECT_FALSE(replicas.Execute("VACUUM INTO '/tmp/cairn-vacuum'").status.ok());
  EXPECT_FALSE(replicas.Execute("UPDATE sqlite_schema SET sql = ''").status.ok());
  EXPECT_FALSE(replicas.Execute("CREATE TABLE sqlite_stat1(tbl, idx, stat)").status.ok());
  replicas.Must("PRAGMA user_version = 7");
  replicas.Must("PRAGMA application_id = 8");
  EXPECT_EQ(replicas.Query("PRAGMA user_version"), "7");
  replicas.Check();
}

TEST(Authorizer, InternalTablesCannotBeTouched) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  for (const char* sql :
       {"DELETE FROM _cairn_state", "UPDATE _CAIRN_state SET applied_index = 0",
        "INSERT INTO t SELECT applied_index FROM _cairn_state", "DROP TABLE _cairn_sessions",
        "CREATE TABLE _Cairn_x(x)", "CREATE INDEX i ON _cairn_tx(state)",
        "CREATE INDEX _cairn_i ON t(x)", "CREATE VIEW _cairn_v AS SELECT 1",
        "CREATE VIEW v AS SELECT * FROM _cairn_state",
        "CREATE VIRTUAL TABLE f USING fts5(format, content='_cairn_state')",
        "CREATE TRIGGER tr AFTER UPDATE ON _cairn_state BEGIN SELECT 1; END",
        "ALTER TABLE _cairn_state RENAME TO x", "ALTER TABLE t RENAME TO _cairn_t",
        "ALTER TABLE t RENAME TO \"_CAIRN_T\"", "CREATE VIRTUAL TABLE _cairn_f USING fts5(x)"}) {
    EXPECT_EQ(replicas.Execute(sql).status.code(), StatusCode::kPermissionDenied) << sql;
  }
  replicas.Must("INSERT INTO t VALUES(1)");
  replicas.Check();
}

}  // namespace
}  // namespace cairn::state_machine
