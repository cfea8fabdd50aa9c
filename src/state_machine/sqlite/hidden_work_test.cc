// Work that no step of SQLite's virtual machine shows, and its price.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "state_machine/sqlite/database_test_util.h"
#include "state_machine/sqlite/replicas_test_util.h"
#include "state_machine/sqlite/schema_charges.h"
#include "state_machine/sqlite/work_budget.h"

namespace cairn::state_machine {
namespace {

// After a change of the schema SQLite forgets the schema whenever a command is undone, until the
// transaction ends.
TEST(HiddenWork, CommandsThatFailBehindAChangeOfTheSchemaPayForReadingItAgain) {
  Replicas replicas;
  constexpr uint64_t kTables = 100;
  constexpr uint64_t kAlone = 2 * kStepsPerStatement;  // more than a command that fails takes
  std::vector<Statement> tables;
  for (uint64_t i = 0; i < kTables; ++i) {
    tables.push_back({"CREATE TABLE t" + std::to_string(i) + "(x UNIQUE)", {}, {}});
  }
  EXPECT_TRUE(replicas.Execute(tables).status.ok());
  replicas.Must("INSERT INTO t0 VALUES(1)");
  const Command twice = ExecuteCommand("INSERT INTO t0 VALUES(1)");
  EXPECT_LT(replicas.Do(twice).steps, kAlone);
  const auto results = replicas.DoAll({twice, ExecuteCommand("CREATE TABLE more(x)"), twice, twice,
                                       ExecuteCommand("INSERT INTO t0 VALUES(2)")});
  EXPECT_LT(results[0].steps, kAlone);
  EXPECT_GT(results[2].steps, kTables * kStepsPerSchemaObject);
  EXPECT_EQ(results[3].steps, results[2].steps);
  EXPECT_LT(results[4].steps, kAlone) << "nothing was undone";
  EXPECT_LT(replicas.Do(twice).steps, kAlone) << "the transaction has ended behind the entry";
  replicas.Check();
}

TEST(HiddenWork, CommandsBehindOneThatLosesItsChangeOfTheSchemaPayTheSame) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x UNIQUE)");
  replicas.Must("INSERT INTO t VALUES(1)");
  replicas.header.command_steps_max = 100'000;
  Command exhausted;
  exhausted.operation =
      Execute{{{"CREATE TABLE more(x)", {}, {}},
               {"INSERT INTO more WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
                " SELECT i FROM n",
                {},
                {}}}};
  const Command twice = ExecuteCommand("INSERT INTO t VALUES(1)");
  const uint64_t alone = replicas.Do(twice).steps;
  const auto results = replicas.DoAll({exhausted, twice, exhausted, twice});
  EXPECT_EQ(results[0].status.code(), StatusCode::kResourceExhausted);
  EXPECT_GT(results[1].steps, alone + kStepsPerSchemaObject);
  EXPECT_EQ(results[3].steps, results[1].steps);
  replicas.Check();
}

TEST(HiddenWork, DropsPayForThePagesThatTheyFree) {
  Replicas replicas;
  for (const char* table : {"large", "small"}) {
    replicas.Must(std::string("CREATE TABLE ") + table + "(x)");
    replicas.Must(std::string("INSERT INTO ") + table + " VALUES(?1)", {std::string(100, 'x')});
  }
  constexpr uint64_t kPages = 2000;
  replicas.Must("INSERT INTO large VALUES(zeroblob(?1))", {static_cast<int64_t>(kPages * 4096)});
  EXPECT_LT(replicas.Must("DROP TABLE small").steps, kPages * kStepsPerFreedPage / 10);
  replicas.header.command_steps_max = kPages * kStepsPerFreedPage / 2;
  EXPECT_EQ(replicas.Execute("DROP TABLE large").status.code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(replicas.Query("SELECT count(*) FROM large"), "2");
  replicas.header.command_steps_max *= 4;
  EXPECT_GT(replicas.Must("DROP TABLE large").steps, kPages * kStepsPerFreedPage);
  replicas.Check();
}

// A DROP that cost too much did its work first, and was then undone.
TEST(HiddenWork, ADropIsMeasuredBeforeItFreesAPage) {
  const TemporaryDirectory directory;
  TestDatabase db(directory / "test.db");
  db.Run(
      "CREATE TABLE large(x, y UNIQUE); CREATE TABLE other(x);"
      "CREATE VIRTUAL TABLE words USING fts5(x); CREATE INDEX large_x ON large(length(x));"
      "INSERT INTO large VALUES(zeroblob(400000), zeroblob(80000));"
      "INSERT INTO other VALUES(zeroblob(4000000))");
  SchemaCatalog catalog;
  ASSERT_TRUE(catalog.Load(db.handle()).ok());
  const auto count = [&](const ProgramFacts& facts, uint64_t pages_max) {
    const Result<uint64_t> pages = CountDroppedPages(db.handle(), catalog, facts, pages_max);
    EXPECT_TRUE(pages.ok()) << pages.status();
    return pages.ok() ? *pages : 0;
  };
  ProgramFacts drop;
  drop.dropped_table = "large";
  EXPECT_EQ(count(drop, 10), 11u) << "it does not go on";
  const uint64_t pages = count(drop, 1000);
  EXPECT_GT(pages, (400'000u + 2 * 80'000u) / 4096);
  EXPECT_EQ(count(drop, 1'000'000), 0u) << "the file has less";
  drop = ProgramFacts();
  drop.dropped_table = "words";
  EXPECT_EQ(count(drop, 1000), 5u) << "a page for each table of its storage";
  drop = ProgramFacts();
  drop.dropped_index = "large_x";
  EXPECT_EQ(count(drop, 1000), 1u);
  db.Run("DROP TABLE large");
  EXPECT_EQ(db.Number("PRAGMA freelist_count"), static_cast<int64_t>(pages));
}

// 16,384 statements of a few bytes, each with a trigger of 900 KB, took a fresh node 19 minutes.
TEST(HiddenWork, TheTextsOfTriggersAndViewsAreChargedOnceForEachTextInACommand) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  replicas.Must("CREATE TABLE u(x)");
  const uint64_t plain = replicas.Must("INSERT INTO t VALUES(1)").steps;
  std::string body;
  while (body.size() < 50'000) body += "UPDATE u SET x = 1 WHERE x = 2; ";
  replicas.Must("CREATE TRIGGER tr AFTER INSERT ON t WHEN 0 BEGIN " + body + "END");
  const Statement insert{"INSERT INTO t VALUES(1)", {}, {}};
  const uint64_t once = replicas.Execute({insert}).steps;
  EXPECT_GT(once, plain + (body.size() - kSchemaBytesFree) * kStepsPerSchemaByte);
  EXPECT_LT(replicas.Execute({insert, insert}).steps, once + once / 2);
  EXPECT_GT(replicas.Execute({insert, {"INSERT INTO t VALUES(2)", {}, {}}}).steps,
            2 * once - plain);
  replicas.header.command_steps_max = 10 * once;
  std::vector<Statement> many;
  for (int i = 0; i < 20; ++i)
    many.push_back({"INSERT INTO t VALUES(" + std::to_string(i) + ")", {}, {}});
  EXPECT_EQ(replicas.Execute(many).status.code(), StatusCode::kResourceExhausted);
  replicas.Check();
}

// A node that does not know the statement compiles it twice.
TEST(HiddenWork, TheLookForTheBoundOfValuesIsChargedOnEveryNode) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  const std::string sql = "INSERT INTO t VALUES(?1) /* " + std::string(1000, '-') + " */";
  const uint64_t small = replicas.Must(sql, {std::string(100, 'x')}).steps;
  constexpr size_t kBytes = 5000;
  const uint64_t large = replicas.Must(sql, {std::string(kBytes, 'x')}).steps;
  EXPECT_GE(large, small + sql.size());
  EXPECT_LT(large, small + sql.size() + kBytes);
  replicas.Check();
}

// Thirty levels of two uses took all memory of every node, before the first step was counted.
TEST(HiddenWork, TablesOfWithThatNameEachOtherManyTimesAreNotCompiled) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  const auto of_levels = [](int levels) {
    std::string sql = "INSERT INTO t WITH c0 AS (SELECT 1 AS x)";
    for (int i = 1; i <= levels; ++i) {
      const std::string before = "c" + std::to_string(i - 1);
      sql += ", c" + std::to_string(i) + " AS (SELECT a.x FROM " + before + " a, " + before + " b)";
    }
    return sql + " SELECT count(*) FROM c" + std::to_string(levels);
  };
  EXPECT_EQ(replicas.Execute(of_levels(30)).status.code(), StatusCode::kInvalidArgument);
  EXPECT_GT(replicas.Must(of_levels(5)).steps, kStepsPerSquare * 63 * 63);
  replicas.Check();
}

TEST(HiddenWork, ViewsAndTriggersThatTakeLongToCompileAreNotMade) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  replicas.Must("CREATE VIEW v0 AS SELECT count(*) AS x FROM t");
  int levels = 1;
  for (;; ++levels) {
    ASSERT_LT(levels, 30);
    const std::string before = "v" + std::to_string(levels - 1);
    const CommandResult made =
        replicas.Execute("CREATE VIEW v" + std::to_string(levels) +
                         " AS SELECT count(*) AS x FROM " + before + " a, " + before + " b");
    if (!made.status.ok()) {
      EXPECT_EQ(made.status.code(), StatusCode::kInvalidArgument) << made.status;
      break;
    }
  }
  EXPECT_EQ(levels, 9) << "the eighth counts 511";
  std::string body;
  for (int i = 0; i < 9; ++i) body += "INSERT INTO t SELECT x FROM v6; ";
  EXPECT_EQ(
      replicas.Execute("CREATE TRIGGER tr AFTER DELETE ON t BEGIN " + body + "END").status.code(),
      StatusCode::kInvalidArgument);
  // Nor in another order: the view did not exist when the views that use it were created.
  replicas.Must("CREATE VIEW upper AS SELECT * FROM lower a, lower b, lower c");
  EXPECT_EQ(replicas.Execute("CREATE VIEW lower AS SELECT x FROM v8").status.code(),
            StatusCode::kInvalidArgument);
  EXPECT_GT(replicas.Must("INSERT INTO t SELECT x FROM v4").steps, kStepsPerSquare * 31 * 31);
  replicas.Must("DROP VIEW v8");
  replicas.Check();
}

// The command ended with "database is locked", which no node takes for a result: all nodes stopped.
TEST(HiddenWork, TheFunctionOptimizeIsRefusedAndStopsNoNode) {
  Replicas replicas;
  replicas.Must("CREATE VIRTUAL TABLE four USING fts4(x)");
  replicas.Must("CREATE TABLE t(x)");
  replicas.Must("INSERT INTO four VALUES('words')");
  const std::string sql = "INSERT INTO t SELECT optimize(four) FROM four LIMIT 1";
  EXPECT_EQ(replicas.Execute(sql).status.code(), StatusCode::kPermissionDenied);
  EXPECT_EQ(replicas.Do(MaintenanceCommand(sql)).status.code(), StatusCode::kPermissionDenied);
  replicas.Must("CREATE TABLE d(x, y DEFAULT (optimize('four')))");
  EXPECT_FALSE(replicas.Execute("INSERT INTO d(x) VALUES(1)").status.ok());
  replicas.Maintain("INSERT INTO four(four) VALUES('optimize')");
  replicas.Check();
}

TEST(HiddenWork, CommandsToAFullTextTableThatTakeLongAreMaintenance) {
  Replicas replicas;
  for (const char* sql :
       {"CREATE TABLE t(id INTEGER PRIMARY KEY, x)",
        "CREATE VIRTUAL TABLE f USING fts5(x, content='t', content_rowid='id')",
        "CREATE VIRTUAL TABLE four USING fts4(x)",
        "CREATE TRIGGER added AFTER INSERT ON t BEGIN"
        " INSERT INTO f(rowid, x) VALUES(new.id, new.x); END",
        "CREATE TRIGGER gone AFTER DELETE ON t BEGIN"
        " INSERT INTO f(f, rowid, x) VALUES('delete', old.id, old.x); END",
        "CREATE TABLE f5(f5)", "INSERT INTO f5(f5) VALUES('rebuild')",
        "INSERT INTO t VALUES(1, 'words'), (2, 'more words')", "DELETE FROM t WHERE id = 1",
        "INSERT INTO f(f, rank) VALUES('usermerge', 4)",
        "INSERT INTO f(f, rank) VALUES('rank', 'bm25(1.0)')"}) {
    replicas.Must(sql);
  }
  for (const char* sql :
       {"INSERT INTO f(f) VALUES('rebuild')", "INSERT INTO f(f) SELECT 'optimize'",
        "INSERT INTO main.\"f\"(x, [f]) VALUES(NULL, 'Integrity-Check')",
        "INSERT INTO four(four) VALUES('optimize')", "REPLACE INTO f(f) VALUES('merge')"}) {
    const CommandResult refused = replicas.Execute(sql);
    EXPECT_EQ(refused.status.code(), StatusCode::kPermissionDenied) << sql << refused.status;
    EXPECT_THAT(refused.status.message(), testing::HasSubstr("maintenance"));
    const CommandResult done = replicas.Do(MaintenanceCommand(sql));
    EXPECT_NE(done.status.code(), StatusCode::kPermissionDenied) << done.status;
  }
  const CommandResult unknown = replicas.Execute("INSERT INTO f(f) VALUES(?1)", {"delete-all"});
  EXPECT_EQ(unknown.status.code(), StatusCode::kPermissionDenied) << unknown.status;
  // The command is judged when it runs, also if the table became a full-text table later.
  replicas.Must("CREATE TABLE late(late)");
  replicas.Must(
      "CREATE TRIGGER r AFTER UPDATE ON t BEGIN INSERT INTO late(late) VALUES('rebuild'); END");
  replicas.Must("UPDATE t SET x = 'other'");
  replicas.Must("DROP TABLE late");
  replicas.Must("CREATE VIRTUAL TABLE late USING fts5(x)");
  EXPECT_EQ(replicas.Execute("UPDATE t SET x = 'other'").status.code(),
            StatusCode::kPermissionDenied);
  EXPECT_EQ(replicas.Query("SELECT rowid FROM f('words')"), "2");
  replicas.Check();
}

// SQLite's own functions see which arguments are JSON, however many patterns of them there are.
TEST(HiddenWork, JsonFunctionsSeeWhichArgumentsAreJson) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  for (int pattern = 0; pattern < 200; ++pattern) {
    std::string arguments;
    std::string expected;
    for (int i = 0; i < 8; ++i) {
      const bool is_json = (pattern >> i & 1) != 0;
      const std::string separator = i == 0 ? "" : ",";
      arguments += separator + (is_json ? "json('[1]')" : "'[1]'");
      expected += separator + (is_json ? "[1]" : "\"[1]\"");
    }
    replicas.Must("DELETE FROM t");
    replicas.Must("INSERT INTO t VALUES(json_array(" + arguments + "))");
    EXPECT_EQ(replicas.Query("SELECT x FROM t"), "[" + expected + "]");
  }
  replicas.Check();
}

// To sort a million rows is one step.
TEST(HiddenWork, CommandsThatGoThroughWholeTablesAreChargedOrRefused) {
  Replicas replicas;
  constexpr uint64_t kRows = 5000;
  replicas.Must("CREATE TABLE t(x)");
  std::vector<Statement> inserts(kRows, {"INSERT INTO t VALUES(hex(randomblob(8)))", {}, {}});
  EXPECT_TRUE(replicas.Execute(inserts).status.ok());
  EXPECT_GT(replicas.Must("CREATE INDEX tx ON t(x)").steps, kRows * 40);
  EXPECT_GT(replicas.Must("CREATE UNIQUE INDEX u ON t(x, 1)").steps, kRows * 40);
  EXPECT_GT(replicas.Must("REINDEX").steps, 2 * kRows * 40);
  EXPECT_GT(replicas.Must("ANALYZE").steps, 2 * kRows);
  replicas.header.command_steps_max = kRows;
  for (const char* sql : {"CREATE INDEX more ON t(x)", "REINDEX t", "ANALYZE t"}) {
    EXPECT_EQ(replicas.Execute(sql).status.code(), StatusCode::kResourceExhausted) << sql;
  }
  for (const char* sql :
       {"VACUUM", "VACUUM INTO 'copy.db'", "PRAGMA optimize", "PRAGMA incremental_vacuum(10)",
        "PRAGMA incremental_vacuum", "PRAGMA auto_vacuum = 1", "PRAGMA wal_checkpoint(TRUNCATE)",
        "PRAGMA shrink_memory", "PRAGMA integrity_check", "PRAGMA quick_check",
        "PRAGMA foreign_key_check", "PRAGMA analysis_limit = 10", "PRAGMA writable_schema = 1"}) {
    EXPECT_FALSE(replicas.Execute(sql).status.ok()) << sql;
    EXPECT_FALSE(replicas.Do(MaintenanceCommand(sql)).status.ok()) << sql;
  }
  EXPECT_EQ(replicas.Query("SELECT count(*) FROM t"), std::to_string(kRows));
  replicas.Check();
}

// 2,000 windows of one text, in 70 KB, would take minutes to compile.
TEST(HiddenWork, WindowFunctionsAreChargedByTheCubeOfTheirNumber) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(a)");
  const auto insert = [](int windows) {
    std::string sql = "INSERT INTO t SELECT 0";
    for (int i = 0; i < windows; ++i) sql += " + sum(" + std::to_string(i) + ") OVER (ORDER BY a)";
    return sql + " FROM t";
  };
  EXPECT_GT(replicas.Must(insert(100)).steps, 100u * 100u * 100u);
  EXPECT_LT(replicas.Must(insert(3)).steps, 10'000u);
  replicas.Must(insert(200));
  EXPECT_EQ(replicas.Execute(insert(201)).status.code(), StatusCode::kInvalidArgument);
  replicas.Check();
}

// An entry of an index takes 2 to 4 microseconds, and was charged as 5 to 7 steps.
TEST(HiddenWork, EntriesOfIndexesAreCharged) {
  Replicas replicas;
  constexpr uint64_t kRows = 100;
  constexpr uint64_t kIndexes = 30;
  constexpr uint64_t kPlain = 5000;  // more than the rows cost without an index
  replicas.Must("CREATE TABLE t(id INTEGER PRIMARY KEY, a, b)");
  std::string rows;
  for (uint64_t i = 0; i < kRows; ++i) rows += (i == 0 ? "(" : ", (") + std::to_string(i) + ")";
  const std::string insert = "INSERT INTO t(a) VALUES" + rows;
  EXPECT_LT(replicas.Must(insert).steps, kPlain);
  EXPECT_LT(replicas.Must("UPDATE t SET a = a + 1").steps, kPlain);
  for (uint64_t i = 0; i < kIndexes; ++i) {
    replicas.Must("CREATE INDEX i" + std::to_string(i) + " ON t(a, " + std::to_string(i) + ")");
  }
  constexpr uint64_t kEntries = kRows * kIndexes * kStepsPerIndexEntry;
  EXPECT_GT(replicas.Must("DELETE FROM t").steps, kEntries);
  EXPECT_GT(replicas.Must(insert).steps, kEntries);
  EXPECT_GT(replicas.Must("UPDATE t SET a = a + 1").steps, 2 * kEntries);
  EXPECT_LT(replicas.Must("UPDATE t SET b = a").steps, kPlain + kEntries / 10) << "no index has b";
  EXPECT_GT(replicas.Must("UPDATE t SET id = id + 1000").steps, 2 * kEntries);
  EXPECT_GT(replicas.Must("REPLACE INTO t(id, a) SELECT id, a FROM t").steps, 2 * kEntries);
  replicas.header.command_steps_max = kEntries;
  EXPECT_EQ(replicas.Execute("UPDATE t SET a = 0").status.code(), StatusCode::kResourceExhausted);
  replicas.Must("CREATE TABLE g(a, b AS (a + 1))");
  replicas.Must("CREATE INDEX gb ON g(b)");
  replicas.Must("INSERT INTO g(a) VALUES" + rows);
  EXPECT_GT(replicas.Must("UPDATE g SET a = a + 1").steps, 2 * kRows * kStepsPerIndexEntry);
  replicas.Check();
}

TEST(HiddenWork, ARetryThatAsksForMaintenanceIsAnotherRequest) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  const std::string sql = "INSERT INTO t VALUES(1)";
  EXPECT_TRUE(replicas.Do(WithId(ExecuteCommand(sql), "s", 1)).status.ok());
  EXPECT_TRUE(replicas.Do(WithId(ExecuteCommand(sql), "s", 1)).status.ok());
  EXPECT_EQ(replicas.Do(WithId(MaintenanceCommand(sql), "s", 1)).status.code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(replicas.Query("SELECT count(*) FROM t"), "1");
  replicas.Check();
}

}  // namespace
}  // namespace cairn::state_machine
