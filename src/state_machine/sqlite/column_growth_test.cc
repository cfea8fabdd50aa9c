// Columns that would grow without end while SQLite compiles them.

#include "state_machine/sqlite/column_growth.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "state_machine/sqlite/column_sizer.h"
#include "state_machine/sqlite/proposal_check.h"
#include "state_machine/sqlite/replicas_test_util.h"

namespace cairn::state_machine {
namespace {

constexpr int kLevels = 40;

std::string N(int i) { return std::to_string(i); }

// Columns c0 to c39, each of which uses the column before it twice.
std::string Doubling(const std::string& first = "SELECT x FROM t", int levels = kLevels) {
  std::string sql = "WITH c0(x) AS (" + first + ")";
  for (int i = 1; i < levels; ++i) {
    sql += ", c" + N(i) + "(x) AS (SELECT x + x FROM c" + N(i - 1) + ")";
  }
  return sql;
}
const std::string kLast = "c" + N(kLevels - 1);
constexpr const char* kResult = "549755813888";  // 2^39

// SQLite's parser takes no more levels.
std::string Nested(std::string sql) {
  for (int i = 0; i < 12; ++i) sql = "SELECT x+x+x+x+x+x+x+x AS x FROM (" + sql + ")";
  return sql;
}
constexpr const char* kNestedResult = "68719476736";  // 8^12

Status Check(const std::string& sql) {
  ProposalChecker checker;
  Command command;
  command.operation = Execute{{{sql, {}, {}}}};
  return checker.Check(command);
}

uint64_t Flattened(const std::string& sql) {
  return ColumnSizer(sql, 1, [](const std::string&) { return nullptr; }).Whole().flattened;
}
bool MayFlatten(const std::string& sql) { return ColumnGrowth().Judge(sql).may_flatten; }

TEST(ColumnGrowth, TablesOfWithWhoseColumnsDoubleAreCompiledApart) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  replicas.Must("CREATE TABLE u(x)");
  replicas.Must("INSERT INTO t VALUES(1)");
  replicas.Must(Doubling() + " INSERT INTO u SELECT x FROM " + kLast);
  replicas.Must("INSERT INTO u " + Doubling("SELECT 1") + " SELECT x FROM " + kLast);
  replicas.Must("UPDATE u SET x = x + (" + Doubling() + " SELECT x FROM " + kLast + ")");
  replicas.Must("CREATE TABLE z AS " + Doubling() + " SELECT x FROM " + kLast + " WHERE x + x > 0");
  EXPECT_TRUE(Check("CREATE TABLE z AS " + Doubling("SELECT 1") + " SELECT x FROM " + kLast).ok());
  EXPECT_EQ(replicas.Query("SELECT x FROM z"), kResult);
  EXPECT_EQ(replicas.Query("SELECT x / 2 FROM u"), kResult + std::string(" ") + kResult);
  EXPECT_EQ(replicas.Query(Doubling() + " SELECT x FROM " + kLast), kResult);
  const std::string nested = Nested("SELECT x FROM t");
  replicas.Must("INSERT INTO u " + nested);
  EXPECT_EQ(replicas.Query(nested), kNestedResult);
  replicas.Check();
}

TEST(ColumnGrowth, AsManyTablesOfWithAsMayBeCompiledNeedNotTooMuchStack) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  replicas.Must("INSERT INTO t VALUES(1)");
  const std::string deep = Doubling("SELECT x FROM t", 999);
  replicas.Must(deep + " INSERT INTO t SELECT x > 1 FROM c998");
  EXPECT_EQ(replicas.Query(deep + " SELECT x > 1 FROM c998 LIMIT 1"), "1");
  replicas.Check();
}

TEST(ColumnGrowth, ViewsWhoseColumnsDoubleAreCompiledApart) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  replicas.Must("CREATE TABLE u(x)");
  replicas.Must("CREATE TABLE fires(x)");
  replicas.Must("INSERT INTO t VALUES(1)");
  replicas.Must("CREATE VIEW v0(x) AS SELECT x FROM t");
  for (int i = 1; i < kLevels; ++i) {
    // A column that is called like the view behind it.
    replicas.Must("CREATE VIEW v" + N(i) + " AS SELECT x + x AS x, 1 \"v" + N(i + 1) + "\" FROM v" +
                  N(i - 1));
  }
  const std::string last = "v" + N(kLevels - 1);
  replicas.Must("INSERT INTO u SELECT x FROM " + last);
  replicas.Must("DELETE FROM u WHERE x NOT IN (SELECT x FROM \"" + last + "\")");
  replicas.Must("CREATE TRIGGER tr AFTER INSERT ON fires BEGIN INSERT INTO u SELECT x FROM " +
                last + "; END");
  replicas.Must("INSERT INTO fires VALUES(1)");
  EXPECT_EQ(replicas.Query("SELECT x FROM u"), kResult + std::string(" ") + kResult);
  EXPECT_EQ(replicas.Query("SELECT x FROM " + last), kResult);
  EXPECT_EQ(replicas.Query("SELECT ncol FROM pragma_table_list WHERE name = '" + last + "'"), "2");
  replicas.Must("ALTER TABLE t ADD COLUMN y");
  replicas.Must("CREATE VIRTUAL TABLE words USING fts5(x, content='" + last + "')");
  replicas.Must("INSERT INTO words(rowid, x) VALUES(1, 'x')");
  replicas.Check();
}

TEST(ColumnGrowth, TriggersWhoseColumnsDoubleAreCompiledApart) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  replicas.Must("CREATE TABLE u(x)");
  replicas.Must("CREATE TRIGGER tr AFTER INSERT ON t BEGIN INSERT INTO u " +
                Nested("SELECT new.x AS x") + "; END");
  replicas.Must("INSERT INTO t VALUES(1)");
  EXPECT_EQ(replicas.Query("SELECT x FROM u"), kNestedResult);
  replicas.Check();
}

TEST(ColumnGrowth, GeneratedColumnsThatNameEachOtherAreRefused) {
  Replicas replicas;
  for (const char* kind : {"", " VIRTUAL", " STORED"}) {
    std::string columns = "c0";
    for (int i = 1; i < kLevels; ++i) {
      columns += ", c" + N(i) + " AS (c" + N(i - 1) + " + c" + N(i - 1) + ")" + kind;
    }
    const CommandResult result = replicas.Execute("CREATE TABLE g(" + columns + ")");
    EXPECT_EQ(result.status.code(), StatusCode::kInvalidArgument) << result.status;
  }
  replicas.Must("CREATE TABLE g(c0)");
  int levels = 1;
  for (; levels < kLevels; ++levels) {
    const std::string before = "c" + N(levels - 1);
    const CommandResult result =
        replicas.Execute("ALTER TABLE g ADD COLUMN c" + N(levels) + " AS (" + before + " + \"" +
                         before + "\") CHECK(c" + N(levels) + " > 0)");
    if (result.status.ok()) continue;
    EXPECT_EQ(result.status.code(), StatusCode::kInvalidArgument) << result.status;
    break;
  }
  EXPECT_GT(levels, 6);
  EXPECT_LT(levels, 14);
  replicas.Must("INSERT INTO g VALUES(1)");
  EXPECT_EQ(replicas.Query("SELECT c6 FROM g"), "64");
  std::string uses = "c0";
  for (int i = 0; i < 20'000; ++i) uses += ",c6";
  EXPECT_EQ(replicas.Execute("UPDATE g SET c0 = 1 WHERE 1 IN (" + uses + ")").status.code(),
            StatusCode::kInvalidArgument);
  replicas.Check();
}

// Runs the same statements on plain SQLite and here. The bound of a flattened text lies between
// them.
TEST(ColumnGrowth, ColumnsThatAreUsedTwiceGiveTheRowsOfPlainSqlite) {
  std::vector<std::string> setup = {
      "CREATE TABLE t(a INTEGER, b TEXT, twice AS (a + a), more AS (twice * twice) STORED)",
      "INSERT INTO t VALUES(1, 'x'), (2, 'Y'), (3, NULL), (NULL, 'z')",
      "CREATE TABLE copy(p, q, r)",
      "CREATE VIEW v0 AS SELECT a AS x, b AS y, more FROM t",
      "CREATE VIEW v1 AS SELECT x + x AS x, coalesce(y, 'none') || y AS y, more FROM v0",
      "CREATE VIEW v2 AS SELECT x * x - x AS x, upper(y) AS y, more + x AS more FROM v1"
      " WHERE x > 2 OR x IS NULL",
  };
  for (int i = 3; i < 14; ++i) {
    setup.push_back("CREATE VIEW v" + N(i) + " AS SELECT (x + x + 1) % 1000 AS x, y, more FROM v" +
                    N(i - 1));
  }
  const std::vector<std::string> statements = {
      "INSERT INTO copy SELECT x, y, more FROM v2 ORDER BY 1, 2",
      "INSERT INTO copy SELECT x, y, x + x FROM v13 WHERE x + x > 10 ORDER BY 1, 2",
      "INSERT INTO copy SELECT p.x, q.y, p.x + q.x FROM v13 p JOIN v4 q ON p.y = q.y",
      "INSERT INTO copy SELECT count(*), max(x), sum(x + x) FROM v9 GROUP BY y ORDER BY x + x",
      "WITH c AS (SELECT a, a + a AS d FROM t), e AS (SELECT d + d AS f, a FROM c)"
      " INSERT INTO copy SELECT f + f, a, (SELECT f + max(d) FROM c WHERE c.a < e.f) FROM e",
      "INSERT INTO copy SELECT x, y, 0 FROM (SELECT x + x AS x, y FROM v12 UNION ALL"
      " SELECT a, b FROM t) WHERE x + x < 500",
      "UPDATE copy SET r = (SELECT max(x + x) FROM v11 WHERE x > p) WHERE q IS NOT NULL",
      "DELETE FROM copy WHERE p IN (SELECT x FROM v13 LIMIT 1)",
  };
  Replicas replicas;
  TestDatabase plain(replicas.first().directory() / "plain.db");
  std::vector<std::string> all = setup;
  all.insert(all.end(), statements.begin(), statements.end());
  for (const std::string& sql : all) {
    replicas.Must(sql);
    plain.Run(sql);
  }
  TestDatabase ours(replicas.first().path());
  for (const char* sql :
       {"SELECT count(*) FROM copy",
        "SELECT group_concat(quote(p) || quote(q) || quote(r), ' ') FROM"
        " (SELECT * FROM copy ORDER BY p, q, r)",
        "SELECT group_concat(quote(x) || quote(y) || quote(more), ' ') FROM (SELECT * FROM v13"
        " ORDER BY 1, 2, 3)"}) {
    EXPECT_EQ(ours.Text(sql), plain.Text(sql)) << sql;
    EXPECT_EQ(replicas.Query(sql), plain.Text(sql)) << sql;
  }
  EXPECT_GT(plain.Text("SELECT count(*) FROM copy"), "10");
  replicas.Check();
}

TEST(ColumnGrowth, CountsWhatStandsForAColumn) {
  EXPECT_LT(Flattened("INSERT INTO t SELECT a, b, c FROM u WHERE a > 1"), 50u);
  EXPECT_GT(Flattened(Doubling() + " SELECT x FROM " + kLast), uint64_t{1} << 38);
  // Whatever the syntax of the join.
  for (const char* from :
       {"FROM #", "FROM u, #", "FROM u JOIN # AS r ON u.y = r.x", "FROM (u, # r)", "FROM main.#",
        "FROM u JOIN (u a JOIN u b ON 1, # r)", "FROM [#]", "FROM '#'",
        "FROM u JOIN (u a JOIN u b ON 1, (SELECT x FROM #))", "FROM (SELECT * FROM #)"}) {
    std::string sql = "WITH c0(x) AS (SELECT x FROM t)";
    for (int i = 1; i < kLevels; ++i) {
      std::string each = from;
      each.replace(each.find('#'), 1, "c" + N(i - 1));
      sql += ", c" + N(i) + "(x) AS (SELECT x + x " + each + ")";
    }
    EXPECT_FALSE(MayFlatten(sql + " SELECT x FROM " + kLast)) << from;
  }
  // A column of each view has the name of the next view.
  std::string sql = "WITH c0(x, c1) AS (SELECT x, 1 FROM t)";
  for (int i = 1; i < kLevels; ++i) {
    sql += ", c" + N(i) + "(x, c" + N(i + 1) + ") AS (SELECT x + x, c" + N(i) + " FROM c" +
           N(i - 1) + ")";
  }
  EXPECT_FALSE(MayFlatten(sql + " SELECT x FROM " + kLast));
  EXPECT_TRUE(MayFlatten(
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM (SELECT i FROM n) LIMIT 9)"
      " INSERT INTO t SELECT i + i FROM n"));
  std::string values = "INSERT INTO t VALUES(1)";
  for (int i = 0; i < 100'000; ++i) values += ",(1)";
  EXPECT_TRUE(MayFlatten(values + " SELECT"));
}

TEST(ColumnGrowth, TakesTimeInTheLengthOfTheTextAlone) {
  std::string heads = "WITH a AS (SELECT 1)";
  std::string nested = "SELECT 1";
  std::string same = "WITH a AS (SELECT 1)";
  for (int i = 0; i < 100'000; ++i) {
    heads += ",a(b";
    nested += ",(SELECT a";
    same += ",a AS (SELECT a)";
  }
  EXPECT_TRUE(MayFlatten(heads + " SELECT a"));
  EXPECT_FALSE(MayFlatten(nested));
  EXPECT_FALSE(MayFlatten(same + " SELECT a"));
}

TEST(ColumnGrowth, CountsGeneratedColumnsWithThoseThatTheyName) {
  const GeneratedColumns columns(
      "CREATE TABLE g(\"a\"\"\" INT CHECK(cast(1 AS INT)), b GENERATED ALWAYS AS ([a\"] + 1),"
      " c AS (b + b) STORED, d VARCHAR(10) AS (B || c))");
  EXPECT_EQ(GeneratedColumns("CREATE TABLE t(a, b DEFAULT (1 + 1))").total(), 0u);
  EXPECT_GT(columns.total(), 20u);
  EXPECT_LT(columns.total(), 60u);
  EXPECT_FALSE(CheckGenerated(kGeneratedTokensMax + 1).ok());
  EXPECT_TRUE(CheckGenerated(kGeneratedTokensMax).ok());
}

}  // namespace
}  // namespace cairn::state_machine
