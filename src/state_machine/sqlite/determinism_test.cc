// The effects of a statement are the same on every node, whatever the node did before.

#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>

#include "state_machine/sqlite/replicas_test_util.h"

namespace cairn::state_machine {
namespace {

TEST(Determinism, CurrentTimestampDefaultsAreTheEntrysTime) {
  Replicas replicas;
  replicas.Must(
      "CREATE TABLE t(x, at TEXT DEFAULT CURRENT_TIMESTAMP, on_day DEFAULT CURRENT_DATE)");
  replicas.header.wall_ms = 1'600'000'000'000 - 1000;
  replicas.Must("INSERT INTO t(x) VALUES(1)");
  EXPECT_EQ(replicas.Query("SELECT at, on_day FROM t"), "2020-09-13 12:26:40|2020-09-13");
  replicas.Check();
}

TEST(Determinism, NowInTriggersAndViewsIsTheEntrysTime) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  replicas.Must("CREATE TABLE log(at, fraction)");
  replicas.Must("CREATE VIEW now AS SELECT strftime('%f', 'now') AS f");
  replicas.Must(
      "CREATE TRIGGER tr AFTER INSERT ON t BEGIN"
      " INSERT INTO log SELECT datetime('now'), f FROM now; END");
  replicas.header.wall_ms = 1'600'000'000'250 - 1000;
  replicas.Must("INSERT INTO t VALUES(1)");
  EXPECT_EQ(replicas.Query("SELECT at, fraction FROM log"), "2020-09-13 12:26:40|40.250");
  replicas.Check();
}

TEST(Determinism, LocalTimeIsUtcWhateverTheTimeZoneOfTheMachine) {
  ::setenv("TZ", "Pacific/Auckland", 1);
  ::tzset();
  Replicas replicas;
  replicas.Must("CREATE TABLE t(at)");
  replicas.header.wall_ms = 1'600'000'000'000 - 1000;
  replicas.Must("INSERT INTO t VALUES(datetime('now', 'localtime'))");
  EXPECT_EQ(replicas.Query("SELECT at FROM t"), "2020-09-13 12:26:40");
  replicas.Check();
}

TEST(Determinism, RandomnessComesFromTheEntry) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x DEFAULT (random()), y DEFAULT (hex(randomblob(12))))");
  replicas.Must("CREATE TABLE ordered(n, x)");
  replicas.Must("INSERT INTO t(x) VALUES(1), (2), (random())");
  replicas.Must("INSERT INTO t DEFAULT VALUES");
  replicas.Must("INSERT INTO t DEFAULT VALUES");
  replicas.Must("INSERT INTO ordered SELECT random(), x FROM t ORDER BY random()");
  EXPECT_EQ(replicas.Query("SELECT count(DISTINCT x), count(DISTINCT y), max(length(y)) FROM t"),
            "5|5|24");
  replicas.Check();
}

TEST(Determinism, TheCommandsOfOneEntryDrawDifferentNumbers) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  replicas.DoAll({ExecuteCommand("INSERT INTO t VALUES(random())"),
                  ExecuteCommand("INSERT INTO t VALUES(random())")});
  EXPECT_EQ(replicas.Query("SELECT count(DISTINCT x) FROM t"), "2");
  replicas.Check();
}

// Statistics that stand in memory only, because an index or the statistics' own table is gone,
// would be another plan, so another order of rows, than a node has that opens the file.
TEST(Determinism, StatisticsInMemoryAreThoseOfTheFileAfterEveryChangeOfTheSchema) {
  for (const char* change :
       {"DROP INDEX big_a", "DROP TABLE sqlite_stat1", "CREATE TABLE another(x)"}) {
    Replicas replicas;
    replicas.Must("CREATE TABLE big(a, b)");
    replicas.Must("CREATE TABLE small(a, b)");
    replicas.Must("CREATE TABLE joined(n INTEGER PRIMARY KEY, a, b)");
    replicas.Must("CREATE INDEX big_a ON big(a)");
    replicas.Must(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)"
        " INSERT INTO big SELECT i % 7, i FROM n");
    replicas.Must("INSERT INTO small SELECT a, b FROM big LIMIT 5");
    replicas.Must("ANALYZE");
    replicas.Must(change);
    replicas.Must(
        "INSERT INTO joined(a, b) SELECT big.b, small.b FROM small, big"
        " WHERE big.b > 2990 AND small.b < 5");
    replicas.Must(
        "INSERT INTO joined(a, b) SELECT big.b, small.b FROM big, small"
        " WHERE big.b > 2990 AND small.b < 5");
    replicas.Must(
        "INSERT INTO joined(a, b) SELECT x.b, y.b FROM big x, small y"
        " WHERE x.a = y.a AND x.b > 2900");
    replicas.Check();
    if (testing::Test::HasFailure()) FAIL() << change;
  }
}

// SQLite's table of tables does not shrink, and ANALYZE visits them in its order.
TEST(Determinism, AnalyzeVisitsTheTablesInTheOrderOfANodeThatOpensTheFile) {
  Replicas replicas;
  for (int i = 0; i < 60; ++i) {
    const std::string n = std::to_string(i);
    replicas.DoAll({ExecuteCommand("CREATE TABLE t" + n + "(a, b)"),
                    ExecuteCommand("CREATE INDEX i" + n + " ON t" + n + "(a)"),
                    ExecuteCommand("INSERT INTO t" + n + " VALUES(1, 2)")});
  }
  for (int i = 0; i < 52; ++i) replicas.Must("DROP TABLE t" + std::to_string(i));
  replicas.Must("ANALYZE");
  replicas.Check();
}

// FTS merges what one transaction wrote, at its end.
TEST(Determinism, AutomaticMergesOfFullTextTablesAreRefused) {
  Replicas replicas;
  replicas.Must("CREATE VIRTUAL TABLE words USING fts4(body)");
  replicas.Must("CREATE VIRTUAL TABLE five USING fts5(body)");
  replicas.Must("CREATE TABLE five_stat(x)");
  replicas.Must("INSERT INTO five_stat VALUES(1), (2), (3)");
  for (const char* setting : {"automerge=2", "automerge=0"}) {
    const CommandResult refused =
        replicas.Execute("INSERT INTO words(words) VALUES(?1)", {setting});
    EXPECT_EQ(refused.status.code(), StatusCode::kPermissionDenied) << refused.status;
  }
  for (int i = 0; i < 40; ++i) {
    replicas.DoAll({ExecuteCommand("INSERT INTO words VALUES(hex(randomblob(300)))"),
                    ExecuteCommand("INSERT INTO words VALUES(hex(randomblob(300)))")});
  }
  replicas.Maintain("INSERT INTO words(words) VALUES('merge=50,2')");
  replicas.Must("DROP TABLE words");
  replicas.Check();
}

// FTS4 writes delayed rows late. An answer of changes() from there would let the command pass.
TEST(Determinism, WhatAFullTextTableWritesLateIsNoChangeOfTheNextCommand) {
  Replicas replicas;
  replicas.Must("CREATE VIRTUAL TABLE words USING fts4(body)");
  replicas.Must("CREATE TABLE t(x)");
  replicas.Must("CREATE TABLE seen(changed, id, total)");
  replicas.Must(
      "CREATE TRIGGER tr BEFORE INSERT ON t BEGIN"
      " INSERT INTO seen VALUES(changes(), last_insert_rowid(), total_changes()); END");
  for (int i = 0; i < 10; ++i) {
    replicas.Must("INSERT INTO words(body) VALUES('some words')");
    EXPECT_EQ(replicas.Execute("INSERT INTO t VALUES(1)").status.code(),
              StatusCode::kFailedPrecondition);
  }
  EXPECT_EQ(replicas.Query("SELECT count(*) FROM seen"), "0");
  replicas.Check();
}

TEST(Determinism, ADropOfWhatDoesNotExistTakesTheSameStepsAfterARestart) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  // SQLite needs its temporary database for this, and keeps it open.
  replicas.Must("ALTER TABLE t RENAME TO u");
  replicas.Must("DROP INDEX IF EXISTS absent");
  replicas.Must("DROP TABLE IF EXISTS absent");
  replicas.Check();
}

TEST(Determinism, ConnectionStateIsKeptWithinACommandAndItsTriggers) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  replicas.Must("CREATE TABLE seen(changes_, total)");
  replicas.Must(
      "CREATE TRIGGER tr AFTER INSERT ON t BEGIN UPDATE t SET x = x + 1 WHERE x < 3;"
      " INSERT INTO seen VALUES(changes(), total_changes()); END");
  replicas.Must("INSERT INTO t VALUES(7)");
  replicas.Execute({{"INSERT INTO t VALUES(1), (2)", {}, {}},
                    {"INSERT INTO seen VALUES(changes(), total_changes())", {}, {}}});
  replicas.Execute(
      {{"UPDATE t SET x = x", {}, {}}, {"INSERT INTO t SELECT changes() FROM t", {}, {}}});
  replicas.Check();
}

TEST(Determinism, InexactFunctionsAreRefusedInWritesTriggersGeneratedColumnsAndIndexes) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  for (const char* sql : {"INSERT INTO t VALUES(exp(1.0))", "INSERT INTO t VALUES(pow(2, 0.5))",
                          "UPDATE t SET x = sin(x)", "INSERT INTO t SELECT ln(x) FROM t",
                          "INSERT INTO t VALUES(log10(2.0))", "CREATE TABLE g(x, y AS (cos(x)))",
                          "CREATE INDEX i ON t(tan(x))", "CREATE TABLE c(x CHECK (atan(x) < 1))"}) {
    EXPECT_EQ(replicas.Execute(sql).status.code(), StatusCode::kPermissionDenied) << sql;
  }
  replicas.Must("CREATE TRIGGER tr AFTER INSERT ON t BEGIN UPDATE t SET x = exp(x); END");
  EXPECT_EQ(replicas.Execute("INSERT INTO t VALUES(1)").status.code(),
            StatusCode::kPermissionDenied);
  replicas.Must("DROP TRIGGER tr");
  replicas.Must("CREATE VIEW v AS SELECT exp(x) AS e FROM t");
  EXPECT_EQ(replicas.Execute("INSERT INTO t SELECT e FROM v").status.code(),
            StatusCode::kPermissionDenied);
  replicas.Must("INSERT INTO t VALUES(sqrt(2.0)), (floor(1.5)), (round(2.567, 1)), (mod(7.5, 2))");
  replicas.Check();
}

TEST(Determinism, FunctionsHiddenInADefaultAreRefusedWhenTheyAreCalled) {
  Replicas replicas;
  replicas.Execute("CREATE TABLE d(x, y DEFAULT (exp(1.5)), z DEFAULT (sqlite_version()))");
  replicas.Must("CREATE TABLE IF NOT EXISTS d(x)");
  EXPECT_FALSE(replicas.Execute("INSERT INTO d(x, z) VALUES(1, 2)").status.ok());
  EXPECT_FALSE(replicas.Execute("INSERT INTO d(x, y) VALUES(1, 2)").status.ok());
  EXPECT_EQ(replicas.Query("SELECT count(*) FROM d"), "0");
  replicas.Check();
}

TEST(Determinism, AColumnWithConstraintsIsAddedIfTheRowsMeetThem) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  replicas.Must("CREATE TABLE strict(x INTEGER) STRICT");
  replicas.Must("INSERT INTO t VALUES(1), (2)");
  replicas.Must("INSERT INTO strict VALUES(1)");
  replicas.Must("ALTER TABLE t ADD COLUMN y INTEGER DEFAULT 5 CHECK(y > 0)");
  replicas.Must("ALTER TABLE strict ADD COLUMN y TEXT DEFAULT 'five'");
  const CommandResult broken = replicas.Execute("ALTER TABLE t ADD COLUMN z DEFAULT 0 CHECK(z)");
  EXPECT_EQ(broken.status.code(), StatusCode::kInvalidArgument) << broken.status;
  EXPECT_EQ(replicas.Query("SELECT * FROM t"), "1|5 2|5");
  EXPECT_EQ(replicas.Query("SELECT * FROM strict"), "1|five");
  EXPECT_FALSE(replicas.Execute("UPDATE t SET y = 0").status.ok());
  EXPECT_EQ(replicas.Execute("INSERT INTO t(x) SELECT * FROM pragma_quick_check").status.code(),
            StatusCode::kPermissionDenied);
  replicas.Check();
}

TEST(Determinism, TheHighestRowidIsRefused) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(id INTEGER PRIMARY KEY, x)");
  replicas.Must("CREATE TABLE a(id INTEGER PRIMARY KEY AUTOINCREMENT, x)");
  replicas.Must("INSERT INTO t VALUES(1, 1)");
  EXPECT_FALSE(replicas.Execute("INSERT INTO t VALUES(9223372036854775807, 2)").status.ok());
  EXPECT_FALSE(replicas.Execute("UPDATE t SET id = 9223372036854775807").status.ok());
  replicas.Must("INSERT INTO t VALUES(9223372036854775806, 2)");
  EXPECT_FALSE(replicas.Execute("INSERT INTO t(x) VALUES(3)").status.ok());
  replicas.Must("INSERT INTO a(x) VALUES(1)");
  for (const char* end : {"9223372036854775807", "1e300"}) {
    replicas.Must("UPDATE sqlite_sequence SET seq = " + std::string(end));
    EXPECT_FALSE(replicas.Execute("INSERT INTO a(x) VALUES(2)").status.ok());
  }
  replicas.Must("UPDATE sqlite_sequence SET seq = 100");
  replicas.Must("INSERT INTO a(x) VALUES(2)");
  EXPECT_EQ(replicas.Query("SELECT id FROM a"), "1 101");
  replicas.Check();
}

// The join starts with the table that is thought to be smaller, and that decides the order of rows.
class Statistics : public testing::Test {
 protected:
  void SetUp() override {
    replicas.Must("CREATE TABLE a(x)");
    replicas.Must("CREATE TABLE b(x)");
    replicas.Must("CREATE TABLE out(n INTEGER PRIMARY KEY, x)");
    Fill("b", 300);
  }
  void Fill(const std::string& table, int64_t rows) {
    replicas.Must(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)"
        " INSERT INTO " +
            table + " SELECT " + (table == "a" ? "i" : "?1 - i") + " FROM n",
        {rows});
  }
  void Join() { replicas.Must("INSERT INTO out(x) SELECT a.x FROM b, a WHERE a.x + 0 = b.x + 0"); }

  Replicas replicas;
};

TEST_F(Statistics, OfATableThatBecameEmptyAreForgotten) {
  Fill("a", 5);
  replicas.Must("ANALYZE");
  Join();
  replicas.Must("DELETE FROM a");
  replicas.Must("ANALYZE");
  Fill("a", 20);
  Join();
  replicas.Check();
}

// Either index gives the same rows, each in an order of its own.
TEST_F(Statistics, OfARolledBackAnalyzeAreForgotten) {
  replicas.Must("CREATE TABLE t(p, q, x)");
  replicas.Must("CREATE INDEX ip ON t(p)");
  replicas.Must("CREATE INDEX iq ON t(q)");
  replicas.Must(
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)"
      " INSERT INTO t SELECT i % 2, i % 100, i FROM n");
  replicas.Must("ANALYZE");
  for (const char* failing : {"INSERT INTO nowhere VALUES(1)",
                              "INSERT OR ROLLBACK INTO out(n, x) VALUES(1, 1), (1, 1)"}) {
    EXPECT_FALSE(
        replicas
            .Execute(
                {{"UPDATE t SET p = x, q = x % 2", {}, {}}, {"ANALYZE", {}, {}}, {failing, {}, {}}})
            .status.ok());
    replicas.Must("INSERT INTO out(x) SELECT x FROM t WHERE p = 1 AND q IN (1, 3)");
  }
  EXPECT_EQ(replicas.Execute("DELETE FROM sqlite_stat1").status.code(),
            StatusCode::kPermissionDenied);
  replicas.Check();
}

TEST(Determinism, StatisticsOfInternalTablesAreNotTaken) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x UNIQUE)");
  replicas.DoAll({WithId(ExecuteCommand("INSERT INTO t VALUES(1)"), "s", 1),
                  WithId(ExecuteCommand("ANALYZE"), "s", 2)});
  EXPECT_EQ(replicas.Query("SELECT DISTINCT tbl FROM sqlite_stat1"), "t");
  replicas.Check();
}

TEST(Determinism, ARolledBackFirstAnalyzeLeavesNothing) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(a UNIQUE)");
  replicas.Must("INSERT INTO t VALUES(1), (2)");
  EXPECT_FALSE(
      replicas.Execute({{"ANALYZE", {}, {}}, {"INSERT INTO t VALUES(1)", {}, {}}}).status.ok());
  EXPECT_FALSE(
      replicas.Execute({{"ANALYZE", {}, {}}, {"INSERT OR ROLLBACK INTO t VALUES(1)", {}, {}}})
          .status.ok());
  EXPECT_EQ(replicas.Query("SELECT count(*) FROM sqlite_schema WHERE name LIKE 'sqlite_stat%'"),
            "0");
  replicas.Check();
}

TEST(Determinism, DeferredForeignKeysAreSettledWithinTheCommand) {
  Replicas replicas;
  replicas.Must("CREATE TABLE p(id INTEGER PRIMARY KEY)");
  replicas.Must("CREATE TABLE c(p REFERENCES p DEFERRABLE INITIALLY DEFERRED)");
  // In one SQLite transaction the second would settle what the first one left open.
  replicas.DoAll(
      {ExecuteCommand("INSERT INTO c VALUES(1)"), ExecuteCommand("INSERT INTO p VALUES(1)")});
  EXPECT_EQ(replicas.Query("SELECT count(*) FROM c"), "0");
  EXPECT_EQ(replicas.Execute("INSERT INTO c VALUES(2)").status.message(),
            "FOREIGN KEY constraint failed");
  EXPECT_TRUE(
      replicas.Execute({{"INSERT INTO c VALUES(3)", {}, {}}, {"INSERT INTO p VALUES(3)", {}, {}}})
          .status.ok());
  replicas.Check();
}

TEST(Determinism, WorkIsStoppedAtTheSamePointOnFreshAndWarmReplicas) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  const std::string count =
      "INSERT INTO t SELECT count(*) FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL"
      " SELECT i + 1 FROM n WHERE i < ?1) SELECT i FROM n)";
  replicas.header.command_steps_max = 20'000;
  const auto stops = [&](int64_t rows) {
    const CommandResult result = replicas.Execute(count, {rows});
    if (result.status.ok()) return false;
    EXPECT_EQ(result.status.code(), StatusCode::kResourceExhausted) << result.status;
    return true;
  };
  int64_t rows = 200;
  while (rows < 10'000 && !stops(rows)) rows += 199;
  ASSERT_LT(rows, 10'000);
  // Around the limit: steps carried over from earlier runs would stop the warm replica earlier.
  for (int64_t nearer = rows - 199; nearer < rows; nearer += 5) stops(nearer);
  EXPECT_NE(replicas.Query("SELECT count(*) FROM t"), "0");
  replicas.Check();
}

TEST(Determinism, WritesToVirtualTablesAreStoppedAtTheSameRowOnFreshAndWarmReplicas) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  replicas.Must(
      "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100)"
      " SELECT i FROM n");
  replicas.Must("CREATE VIRTUAL TABLE f USING fts5(body)");
  replicas.Must("CREATE VIRTUAL TABLE r USING rtree(id, low, high)");
  replicas.Must("CREATE TRIGGER tr AFTER UPDATE ON t BEGIN INSERT INTO f VALUES(new.x); END");
  replicas.header.command_steps_max = 2000;
  int stopped = 0;
  for (int rows = 20; rows < 50; ++rows) {
    const std::string limit = " LIMIT " + std::to_string(rows);
    for (const std::string& sql :
         {"INSERT INTO f SELECT 'word' || x FROM t" + limit,
          "INSERT OR REPLACE INTO r SELECT x, x, x + 1 FROM t" + limit,
          "UPDATE t SET x = x + 0 WHERE rowid <= " + std::to_string(rows)}) {
      const CommandResult result = replicas.Execute(sql);
      if (result.status.ok()) continue;
      EXPECT_EQ(result.status.code(), StatusCode::kResourceExhausted) << result.status;
      ++stopped;
    }
  }
  EXPECT_GT(stopped, 10);
  EXPECT_LT(stopped, 80);
  replicas.Check();
}

TEST(Determinism, AJoinIntoAFullTextTableIsStoppedAndLeavesNothingInItsMemory) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  replicas.Must(
      "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 300)"
      " SELECT i FROM n");
  replicas.Must("CREATE VIRTUAL TABLE f USING fts5(body)");
  replicas.header.command_steps_max = 100'000;
  for (int i = 0; i < 5; ++i) {
    const std::vector<CommandResult> results =
        replicas.DoAll({ExecuteCommand("INSERT INTO f VALUES('before')"),
                        ExecuteCommand("INSERT INTO f SELECT 'word' || a.x FROM t a, t b, t c"),
                        ExecuteCommand("INSERT INTO f SELECT 'after' || x FROM t LIMIT 7"),
                        ExecuteCommand("UPDATE f SET body = body || ' joined' WHERE rowid IN"
                                       " (SELECT a.rowid FROM t a, t b, t c)"),
                        ExecuteCommand("DELETE FROM f WHERE rowid = 2")});
    EXPECT_TRUE(results[0].status.ok()) << results[0].status;
    EXPECT_EQ(results[1].status.code(), StatusCode::kResourceExhausted) << results[1].status;
    EXPECT_TRUE(results[2].status.ok()) << results[2].status;
    EXPECT_EQ(results[3].status.code(), StatusCode::kResourceExhausted) << results[3].status;
    EXPECT_TRUE(results[4].status.ok()) << results[4].status;
  }
  replicas.Maintain("INSERT INTO f(f) VALUES('integrity-check')");
  replicas.Check();
}

TEST(Determinism, TriggersKeepAFullTextIndexOfATable) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(id INTEGER PRIMARY KEY, body)");
  replicas.Must("CREATE VIRTUAL TABLE f USING fts5(body, content=t, content_rowid=id)");
  replicas.Must(
      "CREATE TRIGGER ai AFTER INSERT ON t BEGIN"
      " INSERT INTO f(rowid, body) VALUES(new.id, new.body); END");
  replicas.Must(
      "CREATE TRIGGER ad AFTER DELETE ON t BEGIN"
      " INSERT INTO f(f, rowid, body) VALUES('delete', old.id, old.body); END");
  replicas.Must("CREATE VIEW v AS SELECT rowid AS id, body FROM f");
  for (int i = 0; i < 20; ++i) {
    const std::string n = std::to_string(i);
    replicas.DoAll({ExecuteCommand("INSERT INTO t VALUES(" + n + ", 'word" + n + " common')"),
                    ExecuteCommand("INSERT INTO t VALUES(0, 'twice')"),
                    ExecuteCommand("INSERT OR ROLLBACK INTO t VALUES(99, 'x'), (0, 'twice')"),
                    ExecuteCommand("DELETE FROM t WHERE id % 4 = 3")});
  }
  EXPECT_EQ(replicas.Query("SELECT count(*) FROM f('common')"), "15");
  EXPECT_EQ(replicas.Query("SELECT id FROM v WHERE id < 5"), "0 1 2 4");
  replicas.Maintain("INSERT INTO f(f, rank) VALUES('integrity-check', 1)");
  replicas.Check();
}

TEST(Determinism, SchemaChangesBetweenUsesOfAStatementDoNotShow) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(a, b DEFAULT 1)");
  for (int i = 0; i < 3; ++i) {
    replicas.Must("INSERT INTO t(a) VALUES(?1)", {int64_t{i}});
    replicas.Must("ALTER TABLE t ADD COLUMN c" + std::to_string(i) + " DEFAULT 5");
    EXPECT_FALSE(replicas
                     .Execute({{"CREATE INDEX i ON t(a)", {}, {}},
                               {"INSERT INTO t(a) VALUES(9)", {}, {}},
                               {"INSERT INTO missing VALUES(1)", {}, {}}})
                     .status.ok());
    replicas.Must("INSERT INTO t(a) VALUES(?1)", {int64_t{i}});
  }
  replicas.Check();
}

TEST(Determinism, EveryKindOfTableAndStatementIsTheSameUnderAnyBatchBoundaries) {
  Replicas replicas;
  replicas.Must("CREATE TABLE w(k TEXT PRIMARY KEY, n INT, g AS (n * 2) STORED) WITHOUT ROWID");
  replicas.Must("CREATE TABLE p(id INTEGER PRIMARY KEY, name UNIQUE)");
  replicas.Must(
      "CREATE TABLE c(id INTEGER PRIMARY KEY AUTOINCREMENT,"
      " p REFERENCES p ON DELETE CASCADE ON UPDATE CASCADE, at DEFAULT CURRENT_TIMESTAMP)");
  replicas.Must("CREATE TABLE log(x)");
  replicas.Must("CREATE VIEW v AS SELECT id, name FROM p");
  replicas.Must(
      "CREATE TRIGGER vi INSTEAD OF INSERT ON v BEGIN"
      " INSERT INTO p(name) VALUES(new.name); END");
  replicas.Must("CREATE TRIGGER cd AFTER DELETE ON c BEGIN INSERT INTO log VALUES(old.id); END");
  replicas.Must("CREATE VIRTUAL TABLE f USING fts5(body)");
  replicas.Must("CREATE VIRTUAL TABLE f4 USING fts4(body)");
  replicas.Must("CREATE VIRTUAL TABLE r USING rtree(id, x0, x1)");
  for (int64_t i = 0; i < 30; ++i) {
    const std::string name = "n" + std::to_string(i % 7);
    replicas.DoAll(
        {ExecuteCommand("INSERT INTO w(k, n) VALUES(?1, ?2)"
                        " ON CONFLICT(k) DO UPDATE SET n = n + excluded.n RETURNING k, g",
                        {name, i}),
         ExecuteCommand("INSERT INTO v(name) VALUES(?1)", {name}),
         ExecuteCommand("INSERT INTO c(p) SELECT id FROM p ORDER BY random() LIMIT 2"),
         ExecuteCommand("REPLACE INTO f(rowid, body) VALUES(?1, ?2)",
                        {i % 11, "some words of " + name}),
         ExecuteCommand("INSERT INTO f4(body) VALUES(?1)", {"more words of " + name}),
         ExecuteCommand("INSERT INTO r VALUES(?1, ?2, ?2 + 1)", {i, i * 0.3})});
    if (i % 5 == 4) {
      replicas.Must("DELETE FROM p WHERE id IN (SELECT id FROM p ORDER BY random() LIMIT 1)");
    }
    if (i % 9 == 8) replicas.Must("UPDATE p SET id = id + 100 WHERE id < 100");
    if (i % 10 == 9) replicas.Maintain("INSERT INTO f(f) VALUES('optimize')");
    // Both make SQLite connect its virtual tables anew, in the middle of a transaction.
    if (i % 8 == 3) replicas.Must("ANALYZE");
    if (i % 8 == 6) {
      replicas.Execute({{"INSERT INTO f(body) VALUES('gone')", {}, {}},
                        {"CREATE TABLE gone(x)", {}, {}},
                        {"INSERT INTO f(body) VALUES('gone')", {}, {}},
                        {"INSERT INTO nowhere VALUES(1)", {}, {}}});
    }
  }
  EXPECT_EQ(replicas.Query("SELECT count(*) FROM f WHERE f MATCH 'words'"), "11");
  replicas.Check();
}

TEST(Determinism, WritesMayNotReadWhatIsLocal) {
  Replicas replicas(/*restarts=*/false);
  replicas.Must("CREATE TABLE t(x)");
  replicas.Must("CREATE VIRTUAL TABLE f USING fts5(body)");
  for (const char* sql :
       {"INSERT INTO t SELECT pageno FROM dbstat", "INSERT INTO t SELECT sql FROM sqlite_stmt",
        "INSERT INTO t SELECT name FROM pragma_table_info('t')",
        "INSERT INTO t SELECT rootpage FROM sqlite_schema", "INSERT INTO t SELECT sqlite_version()",
        "INSERT INTO t SELECT sqlite_source_id()",
        "INSERT INTO t SELECT sqlite_compileoption_get(1)",
        "INSERT INTO t SELECT rank FROM f WHERE f MATCH 'x'",
        "INSERT INTO t SELECT bm25(f) FROM f WHERE f MATCH 'x'"}) {
    EXPECT_EQ(replicas.Execute(sql).status.code(), StatusCode::kPermissionDenied) << sql;
  }
  replicas.Must("INSERT INTO t SELECT name FROM sqlite_schema WHERE name = 't'");
  replicas.Check();
}

}  // namespace
}  // namespace cairn::state_machine
