#include "state_machine/sqlite/expansions.h"

#include <gtest/gtest.h>

#include <string>

namespace cairn::state_machine {
namespace {

TEST(Expansions, CountEachUseOfAViewWithThoseThatItUses) {
  Expansions schema;
  schema.AddView("v2", "CREATE VIEW v2 AS SELECT * FROM v1 a, v1 b");
  schema.AddView("v0", "CREATE VIEW v0 AS SELECT x FROM t");
  schema.AddView("v1", "CREATE VIEW v1 AS SELECT * FROM v0 JOIN \"V0\"");
  schema.AddTrigger("tr",
                    "CREATE TRIGGER tr AFTER INSERT ON t BEGIN DELETE FROM v1; SELECT 1; END");
  schema.Compute();
  EXPECT_EQ(schema.Of("SELECT * FROM t"), 0u);
  EXPECT_EQ(schema.Of("SELECT * FROM v0"), 1u);
  EXPECT_EQ(schema.Of("INSERT INTO t SELECT * FROM main.[v2]"), 7u);
  EXPECT_EQ(schema.Of("WITH c AS (SELECT * FROM v1) SELECT * FROM c, c"), 8u);
  EXPECT_EQ(schema.OfTrigger("tr"), 3u);
  // A view names itself in its own text: "CREATE VIEW v2".
  EXPECT_EQ(schema.most(), 7u);
  schema.Clear();
  schema.Compute();
  EXPECT_EQ(schema.Of("SELECT * FROM v2"), 0u);
}

TEST(Expansions, CountTheTablesOfWithInAnyOrder) {
  EXPECT_EQ(ExpansionsOf("WITH c AS (SELECT 1), d AS (SELECT * FROM c, c) SELECT * FROM d, d"), 6u);
  EXPECT_EQ(ExpansionsOf("WITH d AS (SELECT * FROM c, c), c AS (SELECT 1) SELECT * FROM d"), 3u);
  EXPECT_EQ(ExpansionsOf("WITH c(x, y) AS NOT MATERIALIZED (SELECT 1, (2)) SELECT * FROM c"), 1u);
  EXPECT_EQ(ExpansionsOf("SELECT * FROM (WITH a AS (SELECT 1) SELECT * FROM a), (SELECT 2)"), 1u);
}

TEST(Expansions, ATableMayHideAnotherOneOfItsName) {
  // Two names take turns. Each means the nearest WITH around it, so these are 4^12 expansions.
  std::string sql = "SELECT 1 AS x";
  for (int i = 0; i < 12; ++i) {
    const std::string name = i % 2 == 0 ? "a" : "b";
    sql = "WITH " + name + "(x) AS (" + sql + ") SELECT 1 AS x FROM " + name + " p, " + name +
          " q, " + name + " r, " + name + " s";
  }
  EXPECT_GT(ExpansionsOf(sql), kExpansionsMax);
  EXPECT_EQ(ExpansionsOf("SELECT (WITH RECURSIVE n(i) AS (SELECT 1 UNION SELECT i + 1 FROM n)"
                         " SELECT max(i) FROM n), (WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL"
                         " SELECT i + 2 FROM n LIMIT 9) SELECT max(i) FROM n)"),
            2u);
}

TEST(Expansions, EndForTablesThatNameThemselvesAndForVeryLongChains) {
  EXPECT_EQ(ExpansionsOf("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
                         " SELECT i FROM n"),
            1u);
  std::string chain = "WITH c0 AS (SELECT 1)";
  for (int i = 1; i < 100'000; ++i) {
    chain += ",c" + std::to_string(i) + " AS (SELECT * FROM c" + std::to_string(i - 1) + ")";
  }
  EXPECT_GT(ExpansionsOf(chain + " SELECT * FROM c99999"), kExpansionsMax);
  EXPECT_FALSE(CheckExpansions(kExpansionsMax + 1).ok());
  EXPECT_TRUE(CheckExpansions(kExpansionsMax).ok());
}

}  // namespace
}  // namespace cairn::state_machine
