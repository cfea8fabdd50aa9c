// Searches of virtual tables in writes: the table looks through its index within one step of SQLite's
// machine, and what that costs at most is charged before. Nothing here looks at a clock.
#include "state_machine/sqlite/index_searches.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "state_machine/sqlite/replicas_test_util.h"
#include "state_machine/sqlite/work_budget.h"

namespace cairn::state_machine {
namespace {

StatusCode CodeOf(const CommandResult& result) { return result.status.code(); }

std::string Repeat(int times, const std::string& what) {
  std::string text;
  for (int i = 0; i < times; ++i) text += what;
  return text;
}

// A replica set with a full-text table of `rows` rows of 100 words, a vocabulary of it and a table t.
class IndexSearches : public testing::Test {
 protected:
  void Fill(int rows) {
    replicas.Must("CREATE TABLE t(x)");
    replicas.Must("CREATE VIRTUAL TABLE f USING fts5(body)");
    replicas.Must("CREATE VIRTUAL TABLE v USING fts5vocab(f, 'row')");
    std::vector<Statement> inserts;
    for (int row = 0; row < rows; ++row) {
      std::string body;
      for (int i = 0; i < 100; ++i) body += "w" + std::to_string((row * 37 + i * 101) % 5000) + " ";
      inserts.push_back({"INSERT INTO f VALUES(?1)", {body}, {}});
    }
    EXPECT_TRUE(replicas.Execute(inserts).status.ok());
  }

  Replicas replicas;
};

// 100 prefixes of one letter took 52 s for an index of 11 MB, 40 words near each other 26 s for one of
// 1.2 MB: within one step, at the price of ten.
TEST_F(IndexSearches, AMatchIsChargedByTheIndexAndItsWords) {
  Fill(300);
  const std::string match = "INSERT INTO t SELECT count(*) FROM f WHERE f MATCH ?1";
  const uint64_t one = replicas.Must(match, {std::string("w1")}).steps;
  const uint64_t index = one - kStepsPerMeasure;
  EXPECT_GT(index, 40'000u);
  EXPECT_GT(replicas.Must(match, {std::string("w1 OR w2 OR w3")}).steps, 4 * index);
  EXPECT_GT(replicas.Must(match, {std::string("w*")}).steps, 9 * index);
  EXPECT_GT(replicas.Must(match, {"NEAR(" + Repeat(10, "w1 ") + ")"}).steps, 90 * index);
  for (const std::string& words :
       {"NEAR(" + Repeat(100, "w1 ") + ")", "w*" + Repeat(200, " OR w*"),
        "{body" + Repeat(90, " body") + "}: w*", "\"" + Repeat(5000, "w1 ") + "\""}) {
    SCOPED_TRACE(words.substr(0, 40));
    EXPECT_EQ(CodeOf(replicas.Execute(match, {words})), StatusCode::kResourceExhausted);
    EXPECT_EQ(CodeOf(replicas.Execute("DELETE FROM f WHERE f = '" + words + "'")),
              StatusCode::kResourceExhausted);
    EXPECT_EQ(CodeOf(replicas.Execute("INSERT INTO t SELECT rowid FROM f('" + words + "')")),
              StatusCode::kResourceExhausted);
  }
  replicas.Check();
}

TEST_F(IndexSearches, SeveralMatchesOfOneStatementAreAllCharged) {
  Fill(100);
  const uint64_t one =
      replicas.Must("INSERT INTO t SELECT count(*) FROM f WHERE f MATCH 'w1'").steps;
  const std::string arm = "SELECT count(*) FROM f WHERE f MATCH 'w1'";
  EXPECT_GT(replicas.Must("INSERT INTO t " + arm + Repeat(19, " UNION ALL " + arm)).steps,
            19 * (one - kStepsPerMeasure - 1000));
  replicas.Check();
}

// The steps of the statement count more, so that it ends before it has searched too often.
TEST_F(IndexSearches, ASearchInALoopIsChargedForEachTurn) {
  Fill(100);
  std::vector<Statement> rows(200, {"INSERT INTO t VALUES(1)", {}, {}});
  EXPECT_TRUE(replicas.Execute(rows).status.ok());
  const uint64_t index =
      replicas.Must("DELETE FROM f WHERE f MATCH 'absent'").steps - kStepsPerMeasure - 1000;
  replicas.Must(
      "UPDATE t SET x = (SELECT count(*) FROM f WHERE f MATCH 'w1' AND f.rowid > t.x)"
      " WHERE rowid < 20");
  for (const char* sql : {"INSERT INTO t SELECT count(*) FROM t AS a CROSS JOIN t AS b CROSS JOIN "
                          "f WHERE f MATCH 'w1'"
                          " AND f.rowid = a.x + b.x",
                          "INSERT INTO t SELECT count(*) FROM t AS a, t AS b, t AS c, v"
                          " WHERE v.term = 'w1' AND v.doc > a.x + b.x + c.x"}) {
    const CommandResult result = replicas.Execute(sql);
    EXPECT_EQ(CodeOf(result), StatusCode::kResourceExhausted) << sql << result.status;
  }
  replicas.Must("CREATE TABLE hub(x)");
  replicas.Must(
      "CREATE TRIGGER tr AFTER INSERT ON hub BEGIN"
      " INSERT INTO t SELECT rowid FROM f WHERE f MATCH 'absent'; END");
  const uint64_t fired = replicas.Must("INSERT INTO hub VALUES(1)").steps;
  EXPECT_GT(fired, index);
  const CommandResult many = replicas.Execute("INSERT INTO hub SELECT 1 FROM t AS a, t AS b");
  EXPECT_EQ(CodeOf(many), StatusCode::kResourceExhausted) << many.status;
  replicas.Check();
}

TEST_F(IndexSearches, WordsOutOfARowNeedMaintenance) {
  Fill(10);
  replicas.Must("INSERT INTO t VALUES('w1')");
  for (const char* sql : {"INSERT INTO t SELECT count(*) FROM t, f WHERE f MATCH t.x",
                          "INSERT INTO t SELECT count(*) FROM f WHERE f MATCH upper('w1')",
                          "DELETE FROM f WHERE f MATCH (SELECT x FROM t LIMIT 1)"}) {
    EXPECT_EQ(CodeOf(replicas.Execute(sql)), StatusCode::kPermissionDenied) << sql;
    replicas.Maintain(sql);
  }
  // All of it is known, wherever it stands.
  replicas.Must("INSERT INTO t SELECT count(*) FROM f WHERE f MATCH :words AND rowid > ?2 + 1",
                {std::string("w1"), int64_t{1}});
  replicas.Check();
}

TEST_F(IndexSearches, RowsThatAreFoundByTheirNumberCostWhatTheyDid) {
  Fill(50);
  for (const char* sql :
       {"DELETE FROM f WHERE rowid = 1", "UPDATE f SET body = 'x' WHERE rowid < 5",
        "INSERT INTO t SELECT count(*) FROM f"}) {
    EXPECT_LT(replicas.Must(sql).steps, 10'000u) << sql;
  }
  replicas.Check();
}

TEST_F(IndexSearches, RowsOfTheSameCommandCountAsPartOfTheIndex) {
  Fill(1);
  const Statement match{"INSERT INTO t SELECT count(*) FROM f WHERE f MATCH 'w1'", {}, {}};
  const Statement insert{"INSERT INTO f VALUES(?1)", {Repeat(50'000, "w1 ")}, {}};
  const uint64_t apart = replicas.Execute({insert}).steps;
  replicas.Must("DELETE FROM f WHERE rowid > 1");
  EXPECT_GT(replicas.Execute({insert, match}).steps, apart + 150'000);
  replicas.Check();
}

TEST_F(IndexSearches, OfAnRTreeAreChargedByItsNodes) {
  replicas.Must("CREATE TABLE t(x)");
  replicas.Must("CREATE VIRTUAL TABLE r USING rtree(id, x0, x1)");
  std::vector<Statement> rows;
  for (int i = 0; i < 3000; ++i) {
    rows.push_back({"INSERT INTO r VALUES(?1, 0, 1000)", {int64_t{i}}, {}});
  }
  EXPECT_TRUE(replicas.Execute(rows).status.ok());
  const std::string search = "INSERT INTO t SELECT count(*) FROM r WHERE x0 <= 5 AND x1 >= 2000";
  const uint64_t once = replicas.Must(search).steps;
  EXPECT_GT(once, 50 * kStepsPerTreeNode);
  EXPECT_LT(replicas.Must("INSERT INTO t SELECT x0 FROM r WHERE id = 7").steps, kStepsPerMeasure);
  EXPECT_TRUE(replicas.Execute(std::vector<Statement>(1000, {"INSERT INTO t VALUES(1)", {}, {}}))
                  .status.ok());
  const CommandResult loop = replicas.Execute(
      "INSERT INTO t SELECT count(*) FROM t AS a, t AS b, r WHERE r.x0 <= a.x AND r.x1 >= 2000 + "
      "b.x");
  EXPECT_EQ(CodeOf(loop), StatusCode::kResourceExhausted) << loop.status;
  replicas.Check();
}

TEST_F(IndexSearches, OfOldFullTextTablesNeedMaintenance) {
  replicas.Must("CREATE TABLE t(x)");
  replicas.Must("CREATE VIRTUAL TABLE four USING fts4(body)");
  replicas.Must("CREATE VIRTUAL TABLE words USING fts4aux(four)");
  replicas.Must("INSERT INTO four VALUES('one two')");
  for (const char* sql : {"INSERT INTO t SELECT docid FROM four WHERE four MATCH 'one'",
                          "INSERT INTO t SELECT count(*) FROM words"}) {
    EXPECT_EQ(CodeOf(replicas.Execute(sql)), StatusCode::kPermissionDenied) << sql;
    replicas.Maintain(sql);
  }
  replicas.Must("INSERT INTO t SELECT body FROM four WHERE docid = 1");
  replicas.Must("UPDATE four SET body = body || '!'");
  replicas.Check();
}

// snippet() takes the square of the hits in one row: 7 s for a text of 32 KB.
TEST_F(IndexSearches, WhatIsComputedOfAFoundRowIsRefused) {
  Fill(1);
  replicas.Must("CREATE VIRTUAL TABLE four USING fts4(body)");
  for (const char* call : {"snippet(f, 0, '', '', '', 5) FROM f WHERE f MATCH 'w1'",
                           "highlight(f, 0, '', '') FROM f WHERE f MATCH 'w1'",
                           "snippet(four) FROM four WHERE four MATCH 'w1'",
                           "offsets(four) FROM four WHERE four MATCH 'w1'",
                           "matchinfo(four) FROM four WHERE four MATCH 'w1'"}) {
    EXPECT_EQ(CodeOf(replicas.Execute(std::string("INSERT INTO t SELECT ") + call)),
              StatusCode::kPermissionDenied)
        << call;
  }
  replicas.Check();
}

// The steps of the view were within those of the table. This one never ended, on any node.
TEST_F(IndexSearches, NoWriteReadsContentThatIsAView) {
  replicas.Must("CREATE TABLE t(x)");
  replicas.Must(
      "CREATE VIEW endless AS SELECT 1 AS id, (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i "
      "+ 1"
      " FROM n) SELECT count(*) FROM n) AS body");
  replicas.Must("CREATE VIRTUAL TABLE f USING fts5(body, cont=endless, content_rowid=id)");
  replicas.Must("CREATE VIRTUAL TABLE g USING fts5(body, content='f')");
  replicas.Must("INSERT INTO f(rowid, body) VALUES(1, 'words')");
  replicas.Must(
      "CREATE TRIGGER tr AFTER INSERT ON t WHEN 0 BEGIN REPLACE INTO f(rowid, body)"
      " VALUES(1, 'x'); END");
  for (const char* sql :
       {"INSERT INTO t SELECT body FROM f", "DELETE FROM f WHERE rowid = 1",
        "UPDATE f SET body = 1", "INSERT OR REPLACE INTO f(rowid, body) VALUES(1, 'x')",
        "INSERT INTO t VALUES(1)", "INSERT INTO t SELECT body FROM g WHERE g MATCH 'words'",
        "INSERT INTO f(f) VALUES('rebuild')", "INSERT INTO f(f) VALUES('integrity-check')"}) {
    EXPECT_EQ(CodeOf(replicas.Execute(sql)), StatusCode::kPermissionDenied) << sql;
    EXPECT_EQ(CodeOf(replicas.Do(MaintenanceCommand(sql))), StatusCode::kPermissionDenied) << sql;
  }
  replicas.Must("INSERT INTO f(f, rowid, body) VALUES('delete', 1, 'words')");
  replicas.Must("DROP TABLE g");
  replicas.Must("DROP TABLE f");
  replicas.Check();
}

// ---- The parts ----------------------------------------------------------------------------------

TEST(PriceOfWords, CountsWhatATokenizerMayTakeForAWord) {
  EXPECT_EQ(PriceOfWords("", false), 1u);
  EXPECT_EQ(PriceOfWords("one two-three \"four\"", false), 4u);
  EXPECT_EQ(PriceOfWords("one", true), 3u);
  EXPECT_EQ(PriceOfWords("\xc3\xa4\xc3\xb6", false), 2u);
  EXPECT_EQ(PriceOfWords("on*", false), 1 + kStepsPerPrefix);
  EXPECT_EQ(PriceOfWords("Near(a b c)", false), 4u + 16u);
  EXPECT_EQ(PriceOfWords("{a b}: c", false), 3u + 9u);
}

TEST(PagesOfStructure, AreThoseOfAllSegments) {
  const auto record = [](std::vector<int> bytes) {
    return std::string(bytes.begin(), bytes.end());
  };
  EXPECT_EQ(PagesOfStructure(""), 0u);
  EXPECT_EQ(PagesOfStructure(record({0, 0, 0, 7, 0, 0, 0})), 0u);
  // Two levels; segments of the pages 1 to 3, 1 to 129 and 2 to 2.
  EXPECT_EQ(
      PagesOfStructure(record({0, 0, 0, 7, 2, 3, 9, 0, 2, 5, 1, 3, 6, 1, 0x81, 1, 0, 1, 7, 2, 2})),
      3u + 129u + 1u);
  EXPECT_EQ(
      PagesOfStructure(record({0, 0, 0, 7, 0xff, 0, 0, 1, 1, 1, 9, 0, 1, 5, 1, 3, 8, 8, 8, 8, 8})),
      3u);
  EXPECT_GT(PagesOfStructure(record({0, 0, 0, 7, 2, 3, 9, 0, 2, 5})), 1'000'000'000u);
}

}  // namespace
}  // namespace cairn::state_machine
