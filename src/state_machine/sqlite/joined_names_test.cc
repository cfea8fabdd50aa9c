#include "state_machine/sqlite/joined_names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "state_machine/feature_level.h"
#include "state_machine/sqlite/replicas_test_util.h"
#include "state_machine/sqlite/two_phase_test_util.h"

namespace cairn::state_machine {
namespace {

using ::testing::HasSubstr;

// What a client stores that joins a table of its own to one that differs between nodes.
std::string Stolen(const std::string& column, const std::string& table) {
  return "SELECT " + column + " FROM (SELECT 0 AS " + column + " WHERE 0) NATURAL FULL JOIN " +
         table;
}
const char* const kVersions =
    "SELECT name, version FROM (SELECT 'q' AS name, 0 AS version WHERE 0)"
    " FULL JOIN _cairn_versions USING (name, version)";

TEST(JoinedNames, JoinsAreFoundInTheText) {
  EXPECT_TRUE(JoinsByName("SELECT * FROM a natural LEFT JOIN b"));
  EXPECT_TRUE(JoinsByName("SELECT * FROM a JOIN b USING/**/(x)"));
  EXPECT_FALSE(JoinsByName("CREATE VIRTUAL TABLE f USING fts5(x)"));
  EXPECT_FALSE(JoinsByName("SELECT 'natural', \"using\" (x) FROM t"));
  EXPECT_FALSE(JoinsByName("SELECT unnatural FROM t WHERE a = ?"));
}

TEST(JoinedNames, QueriesReadNoInternalTables) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(name)");
  auto view = replicas.first().machine().OpenReadView(std::chrono::seconds(5)).value();
  RowCollector out;
  EXPECT_EQ(view->Query({kVersions, {}, {}}, {}, &out).code(), StatusCode::kPermissionDenied);
  EXPECT_TRUE(view->Query({"SELECT t.name FROM t NATURAL JOIN sqlite_schema AS s "
                           "WHERE s.name NOT LIKE '_cairn_%'",
                           {},
                           {}},
                          {}, &out)
                  .ok());
  EXPECT_TRUE(out.rows.empty());
}

// Rows that differ between nodes would be stored. A batch of the applying node decides what is in
// _cairn_versions.
TEST(JoinedNames, WritesReadNothingThatDiffersBetweenNodes) {
  Replicas replicas;
  replicas.Do({{}, 0, RaiseLevel{kLevelDataPlatform}});
  replicas.Must("CREATE TABLE w(a, b)");
  for (const std::string& select :
       {std::string(kVersions),
        "SELECT rootpage, 1 FROM (" + Stolen("rootpage", "sqlite_schema") + ")",
        "SELECT freelist_count, 1 FROM (" + Stolen("freelist_count", "'pragma_freelist_count'") +
            ")"}) {
    const Command insert = ExecuteCommand("INSERT INTO w " + select);
    EXPECT_EQ(replicas.first().machine().CheckProposal(insert).code(),
              StatusCode::kPermissionDenied)
        << select;
    // A leader of an earlier build lets it through.
    const Status status = replicas.Do(insert).status;
    EXPECT_EQ(status.code(), StatusCode::kPermissionDenied) << select << ": " << status;
    const std::string view = "CREATE VIEW v AS " + select;
    EXPECT_EQ(replicas.Do(ExecuteCommand(view)).status.code(), StatusCode::kPermissionDenied);
  }
  replicas.Must("INSERT INTO w SELECT a, b FROM w AS x JOIN (SELECT 1 AS a, 2 AS b) USING (a, b)");
  EXPECT_EQ(replicas.Query("SELECT count(*) FROM w"), "0");
  replicas.Check();
}

// The view was made before the cluster was upgraded.
TEST(JoinedNames, AViewOfBeforeIsRefusedWhenAWriteReachesIt) {
  Replicas replicas;
  replicas.Must("CREATE TABLE w(a, b)");
  replicas.Must(std::string("CREATE VIEW v AS ") + kVersions);
  replicas.Must("CREATE VIEW vv AS SELECT * FROM v");
  replicas.Must("CREATE TABLE t(x)");
  replicas.Must("CREATE TRIGGER g AFTER INSERT ON t BEGIN INSERT INTO w SELECT * FROM vv; END");
  replicas.Do({{}, 0, RaiseLevel{kLevelDataPlatform}});
  for (const char* sql : {"INSERT INTO w SELECT * FROM vv", "INSERT INTO t VALUES(1)"}) {
    const Status status = replicas.Do(ExecuteCommand(sql)).status;
    EXPECT_EQ(status.code(), StatusCode::kPermissionDenied) << sql << ": " << status;
    EXPECT_THAT(status.message(), HasSubstr("_cairn_versions is internal to Cairn"));
  }
  replicas.Must("INSERT INTO w VALUES(1, 2)");
  replicas.Check();
}

TEST(JoinedNames, APreparedStatementHoldsATableThatItJoins) {
  Replicas replicas;
  replicas.Must("CREATE TABLE w(a)");
  replicas.Must("CREATE TABLE a(id, x)");
  replicas.Must("CREATE TABLE b(id)");
  replicas.Must("CREATE VIEW v AS SELECT a.x FROM a JOIN b USING (id)");
  replicas.Do({{}, 0, RaiseLevel{kLevelDataPlatform}});
  for (const char* sql : {"INSERT INTO w SELECT a.x FROM a JOIN b USING (id)",
                          "INSERT INTO w SELECT count(*) FROM a NATURAL JOIN b",
                          "INSERT INTO w SELECT count(*) FROM v"}) {
    SCOPED_TRACE(sql);
    EXPECT_TRUE(replicas.Do(PrepareCommand(sql, sql)).status.ok());
    for (const char* other : {"INSERT INTO b VALUES(1)", "INSERT INTO a VALUES(1, 2)"}) {
      EXPECT_EQ(replicas.Do(ExecuteCommand(other)).status.code(), StatusCode::kAborted) << other;
    }
    EXPECT_TRUE(replicas.Do(RollbackCommand(sql)).status.ok());
    replicas.Must("DELETE FROM w");
  }
  replicas.Check();
}

// bm25 is computed with log(), whose last bits differ between processors.
TEST(JoinedNames, TheRankOfAFullTextTableIsNotJoinedInAWrite) {
  Replicas replicas;
  replicas.Do({{}, 0, RaiseLevel{kLevelDataPlatform}});
  replicas.Must("CREATE TABLE w(a)");
  replicas.Must("CREATE VIRTUAL TABLE f USING fts5(x)");
  const Status status = replicas
                            .Do(ExecuteCommand("INSERT INTO w SELECT rank FROM (SELECT 0 AS rank "
                                               "WHERE 0) FULL JOIN f('a') USING (rank)"))
                            .status;
  EXPECT_EQ(status.code(), StatusCode::kPermissionDenied) << status;
  replicas.Check();
}

}  // namespace
}  // namespace cairn::state_machine
