// What a query depends on, on a real database: while the versions of its sources stay as they are,
// its rows do.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "state_machine/feature_level.h"
#include "state_machine/sqlite/replicas_test_util.h"

namespace cairn::state_machine {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class QuerySourcesTest : public ::testing::Test {
 protected:
  QuerySourcesTest() {
    Apply({{}, 0, RaiseLevel{kLevelDataPlatform}});
    Must("CREATE TABLE t(id INTEGER PRIMARY KEY, v)");
    Must("CREATE TABLE Other(id INTEGER PRIMARY KEY, t REFERENCES t ON DELETE CASCADE)");
    Must("CREATE TABLE log(what)");
    Must("CREATE TRIGGER g AFTER INSERT ON t BEGIN INSERT INTO log VALUES(NEW.v); END");
    Must("CREATE VIEW w AS SELECT v FROM t WHERE id > 1");
  }
  CommandResult Apply(const Command& command) {
    const raft::Entry entry = MakeEntry(next_, {1'700'000'000'000, 1, 100, 0}, {command});
    next_ = next_ + 1;
    return replica_.Apply(std::vector{entry}).at(0).results.at(0);
  }
  void Must(const std::string& sql) {
    const Status status = Apply(ExecuteCommand(sql)).status;
    EXPECT_TRUE(status.ok()) << sql << ": " << status;
  }
  Result<QuerySources> SourcesOf(const std::string& sql) {
    return replica_.machine().OpenReadView(std::chrono::seconds(5)).value()->SourcesOf(sql, {});
  }
  std::vector<std::string> TablesOf(const std::string& sql) {
    const Result<QuerySources> sources = SourcesOf(sql);
    EXPECT_TRUE(sources.ok()) << sql << ": " << sources.status();
    return sources.ok() ? sources->tables : std::vector<std::string>{"?"};
  }
  // Whether the versions of the sources of a query tell that a statement was applied.
  bool Sees(const std::string& query, const std::string& statement) {
    const auto versions = [&] {
      auto view = replica_.machine().OpenReadView(std::chrono::seconds(5)).value();
      const QuerySources sources = view->SourcesOf(query, {}).value();
      std::vector<int64_t> out{view->SchemaVersion().value()};
      EXPECT_EQ(out.front(), sources.schema_version);
      for (const std::string& table : sources.tables) out.push_back(view->Version(table).value());
      return out;
    };
    const auto before = versions();
    Must(statement);
    return versions() != before;
  }

  TestReplica replica_;
  LogIndex next_{1};
};

TEST_F(QuerySourcesTest, AreTheTablesOfSubqueriesViewsAndExpressions) {
  EXPECT_THAT(TablesOf("SELECT 1"), IsEmpty());
  EXPECT_THAT(TablesOf("SELECT v FROM T"), ElementsAre("t"));
  EXPECT_THAT(TablesOf("SELECT count(*) FROM t"), ElementsAre("t"));
  EXPECT_THAT(
      TablesOf("SELECT (SELECT max(id) FROM other) FROM log WHERE what IN (SELECT v FROM t)"),
      ElementsAre("log", "other", "t"));
  EXPECT_THAT(TablesOf("SELECT * FROM w"), ElementsAre("t", "w"));
  EXPECT_THAT(TablesOf("WITH c AS (SELECT v FROM t) SELECT count(*) FROM c"), ElementsAre("t"));
  EXPECT_THAT(TablesOf("SELECT value FROM t, json_each(t.v)"), ElementsAre("t"));
  EXPECT_THAT(TablesOf("SELECT name FROM sqlite_schema"), IsEmpty());
}

// SQLite tells an authorizer nothing of them.
TEST_F(QuerySourcesTest, AreTheTablesThatAreJoinedByUsingAndNatural) {
  EXPECT_THAT(TablesOf("SELECT count(*) FROM t JOIN other USING(id)"), ElementsAre("other", "t"));
  EXPECT_THAT(TablesOf("SELECT v FROM t LEFT JOIN Other USING(id)"), ElementsAre("other", "t"));
  EXPECT_THAT(TablesOf("SELECT count(*) FROM t NATURAL JOIN \"other\""), ElementsAre("other", "t"));
  Must("CREATE VIEW j AS SELECT t.v FROM t JOIN other USING(id)");
  Must("CREATE VIEW jj AS SELECT * FROM j");
  EXPECT_THAT(TablesOf("SELECT count(*) FROM jj"), ElementsAre("j", "jj", "other", "t"));
  EXPECT_TRUE(Sees("SELECT count(*) FROM jj", "INSERT INTO other VALUES(7, NULL)"));
}

// Writes to them raise the version of another table, or none.
TEST_F(QuerySourcesTest, OfTablesWithoutAVersionAreTheWholeDatabase) {
  Must("CREATE TABLE a(id INTEGER PRIMARY KEY AUTOINCREMENT)");
  Must("CREATE VIRTUAL TABLE f USING fts5(body)");
  EXPECT_TRUE(Sees("SELECT seq FROM sqlite_sequence", "INSERT INTO a VALUES(NULL)"));
  EXPECT_TRUE(Sees("SELECT count(*) FROM f_docsize", "INSERT INTO f VALUES('x')"));
  Must("CREATE TABLE json_each(value)");
  EXPECT_TRUE(Sees("SELECT * FROM json_each", "INSERT INTO json_each VALUES(1)"));
}

TEST_F(QuerySourcesTest, AWriteThatReachesATableByATriggerOrACascadeIsSeen) {
  EXPECT_TRUE(Sees("SELECT * FROM log", "INSERT INTO t VALUES(1, 'a'), (2, 'b')"));
  EXPECT_TRUE(Sees("SELECT * FROM w", "UPDATE t SET v = 'c'"));
  EXPECT_FALSE(Sees("SELECT * FROM w", "INSERT INTO other VALUES(1, 1)"));
  EXPECT_TRUE(Sees("SELECT * FROM other", "DELETE FROM t WHERE id = 1"));
  EXPECT_FALSE(Sees("SELECT * FROM t", "INSERT INTO log VALUES('x')"));
}

TEST_F(QuerySourcesTest, AChangeOfTheSchemaIsSeenAndTheViewIsReadAnew) {
  EXPECT_TRUE(Sees("SELECT name FROM sqlite_schema", "CREATE TABLE n(x)"));
  Must("DROP VIEW w");
  EXPECT_EQ(SourcesOf("SELECT * FROM w").status().code(), StatusCode::kInvalidArgument);
  Must("CREATE VIEW w AS SELECT what FROM log");
  EXPECT_THAT(TablesOf("SELECT * FROM w"), ElementsAre("log", "w"));
}

// A virtual table may read others that the query does not name.
TEST_F(QuerySourcesTest, OfAVirtualTableAreTheWholeDatabase) {
  Must("CREATE VIRTUAL TABLE f USING fts5(body)");
  Must("CREATE VIRTUAL TABLE r USING rtree(id, a, b)");
  Must("CREATE VIRTUAL TABLE s USING timeseries(site TEXT TAG, ts TIMESTAMP_MS, v REAL)");
  for (const char* sql : {"SELECT * FROM f WHERE f MATCH 'a'", "SELECT * FROM r", "SELECT * FROM s",
                          "SELECT * FROM t, f", "SELECT name FROM pragma_table_list"}) {
    EXPECT_THAT(TablesOf(sql), ElementsAre("")) << sql;
  }
  EXPECT_TRUE(Sees("SELECT * FROM s", "INSERT INTO s VALUES('a', 1, 1.5)"));
  EXPECT_TRUE(Sees("SELECT * FROM f", "INSERT INTO f VALUES('a')"));
}

TEST_F(QuerySourcesTest, OfManyTablesAreTheWholeDatabase) {
  std::string sql = "SELECT 1";
  for (int i = 0; i < 65; ++i) {
    Must("CREATE TABLE n" + std::to_string(i) + "(x)");
    sql += " UNION ALL SELECT x FROM n" + std::to_string(i);
    if (i == 63) {
      EXPECT_EQ(TablesOf(sql).size(), 64u);
    }
  }
  EXPECT_THAT(TablesOf(sql), ElementsAre(""));
}

TEST_F(QuerySourcesTest, WhatIsNoQueryIsRefusedAsByQuery) {
  EXPECT_EQ(SourcesOf("INSERT INTO t VALUES(9, 9)").status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(SourcesOf("SELECT * FROM nowhere").status().code(), StatusCode::kInvalidArgument);
  for (const char* sql : {"PRAGMA user_version", "PRAGMA foreign_key_check", "EXPLAIN SELECT 1"}) {
    EXPECT_EQ(SourcesOf(sql).status().code(), StatusCode::kInvalidArgument) << sql;
  }
  EXPECT_EQ(SourcesOf("SELECT 1; SELECT 2").status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(SourcesOf("SELECT * FROM _cairn_versions").status().code(),
            StatusCode::kPermissionDenied);
  EXPECT_THAT(TablesOf("SELECT v FROM t"), ElementsAre("t")) << "the view can still be used";
}

}  // namespace
}  // namespace cairn::state_machine
