#include "state_machine/sqlite/compile_price.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "state_machine/sqlite/proposal_check.h"
#include "state_machine/sqlite/replicas_test_util.h"
#include "state_machine/sqlite/work_budget.h"

namespace cairn::state_machine {
namespace {

std::string Joined(int count, const std::string& separator, const auto& item) {
  std::string all;
  for (int i = 0; i < count; ++i) all += (i == 0 ? "" : separator) + item(std::to_string(i));
  return all;
}

// An expression over `count` items, of little depth.
std::string Nested(int count, const auto& item) {
  constexpr int kArguments = 100;
  return "max(0, " +
         Joined(
             count / kArguments, ", ",
             [&](const std::string&) { return "max(0, " + Joined(kArguments, ", ", item) + ")"; }) +
         ")";
}

std::string Aggregates(int count) {
  return Nested(count, [](const std::string& i) { return "count(a + " + i + ")"; });
}

void MakeTable(Replicas* replicas, int indexes) {
  replicas->Must("CREATE TABLE t(a, b, c)");
  for (int i = 0; i < indexes; ++i) {
    replicas->Must("CREATE INDEX i" + std::to_string(i) + " ON t(a, " + std::to_string(i) + ")");
  }
}

std::string JoinOf(int tables) {
  std::string on;
  for (int i = 1; i < tables; ++i) {
    on += (i == 1 ? "" : " AND ") + ("x" + std::to_string(i)) + ".a = x" + std::to_string(i - 1) +
          ".a";
  }
  return "INSERT INTO t(b) SELECT 1 FROM " +
         Joined(tables, ", ", [](const std::string& i) { return "t AS x" + i; }) + " WHERE " + on;
}

TEST(CompilePrice, OrdinaryTextsAreFree) {
  SchemaPrices schema;
  schema.AddTable("t", "CREATE TABLE t(a, b, c)");
  schema.AddTable("u", "CREATE TABLE u(a, b)");
  for (const char* index : {"CREATE INDEX i ON t(a)", "CREATE INDEX j ON t(b, c)", ""}) {
    schema.AddIndex("t", index);
  }
  schema.Compute();
  const std::string rows =
      Joined(1000, ", ", [](const std::string& i) { return "(" + i + ", ?, 'x')"; });
  for (const std::string& sql :
       {"INSERT INTO t VALUES" + rows, std::string("INSERT INTO t(a, b, c) VALUES(?, ?, abs(-3))"),
        std::string("UPDATE t SET a = ?1, b = b + 1 WHERE c = ?2 AND a > 5"),
        std::string("INSERT INTO u SELECT t.a, count(*) FROM t JOIN u ON u.a = t.b GROUP BY t.a"),
        "DELETE FROM t WHERE a IN (" + Joined(1000, ", ", [](const std::string& i) { return i; }) +
            ")"}) {
    EXPECT_EQ(schema.Of(sql).steps, 0u) << sql.substr(0, 100);
  }
}

// 1,300 bytes took 0.4 s to compile, at the price of 0.1 ms.
TEST(CompilePrice, JoinsOfTablesWithManyIndexesAreCharged) {
  Replicas replicas;
  MakeTable(&replicas, 40);
  EXPECT_LT(replicas.Must(JoinOf(2)).steps, 100'000u);
  EXPECT_GT(replicas.Must(JoinOf(30)).steps, 30u * 30 * 40 * 50);
  replicas.header.command_steps_max = 1'000'000;
  EXPECT_EQ(replicas.Execute(JoinOf(30)).status.code(), StatusCode::kResourceExhausted);
  replicas.Must(JoinOf(2));
  replicas.Check();
}

// A text of a command is compiled once.
TEST(CompilePrice, ATextIsChargedOnceInACommand) {
  Replicas replicas;
  MakeTable(&replicas, 40);
  const Statement join{JoinOf(10), {}, {}};
  const uint64_t once = replicas.Execute({join}).steps;
  EXPECT_GT(once, 100'000u);
  EXPECT_LT(replicas.Execute({join, join}).steps, once + 10'000);
  EXPECT_EQ(replicas.Execute({join}).steps, once) << "it is known by now";
  replicas.Check();
}

// SQLite refused more than 2,000 aggregates after seven seconds.
TEST(CompilePrice, AggregatesAreChargedBeforeSqliteComparesThem) {
  Replicas replicas;
  MakeTable(&replicas, 0);
  EXPECT_GT(replicas.Must("INSERT INTO t(b) SELECT " + Aggregates(500) + " FROM t").steps,
            500u * 500);
  EXPECT_EQ(
      replicas.Execute("INSERT INTO t(b) SELECT " + Aggregates(20'000) + " FROM t").status.code(),
      StatusCode::kResourceExhausted);
  replicas.Check();
}

// Each table that is opened goes through all that are open: 30,000 subqueries took many seconds.
TEST(CompilePrice, StepsAreDearerWhereManyTablesAreOpen) {
  Replicas replicas;
  MakeTable(&replicas, 0);
  const auto subqueries = [](int count) {
    return "INSERT INTO t(b) SELECT " +
           Nested(count, [](const std::string&) { return "(SELECT a FROM t WHERE b = 7)"; });
  };
  EXPECT_GT(replicas.Must(subqueries(1000)).steps, 1000u * 1000 / 3);
  EXPECT_EQ(replicas.Execute(subqueries(20'000)).status.code(), StatusCode::kResourceExhausted);
  replicas.Must("CREATE TABLE log(x)");
  const uint64_t without = replicas.Must("INSERT INTO log VALUES(1), (2)").steps;
  replicas.Must("CREATE TRIGGER tr AFTER INSERT ON log BEGIN " + subqueries(1000) + "; END");
  EXPECT_GT(replicas.Must("INSERT INTO log VALUES(1), (2)").steps, without + 2 * 1000 * 1000 / 3);
  replicas.Check();
}

TEST(CompilePrice, WindowsOfTriggersAndViewsAreChargedAndBounded) {
  Replicas replicas;
  MakeTable(&replicas, 0);
  replicas.Must("CREATE TABLE log(x)");
  const auto windows = [](int count) {
    return "SELECT 0 + " +
           Joined(count, " + ",
                  [](const std::string& i) { return "sum(" + i + ") OVER (ORDER BY a)"; }) +
           " AS s FROM t";
  };
  replicas.Must("CREATE VIEW v AS " + windows(100));
  EXPECT_GT(replicas.Must("INSERT INTO log SELECT s FROM v").steps, 100u * 100 * 100);
  replicas.Must("CREATE TRIGGER tr AFTER DELETE ON t BEGIN INSERT INTO log " + windows(100) +
                "; END");
  EXPECT_GT(replicas.Must("DELETE FROM t").steps, 100u * 100 * 100);
  CommandResult made;
  int triggers = 0;
  for (; triggers < 20; ++triggers) {
    made = replicas.Execute("CREATE TRIGGER tr" + std::to_string(triggers) +
                            " AFTER UPDATE ON t BEGIN INSERT INTO log " + windows(200) + "; END");
    if (!made.status.ok()) break;
  }
  EXPECT_EQ(made.status.code(), StatusCode::kInvalidArgument) << made.status;
  EXPECT_EQ(triggers, 5) << "all of them are compiled with each UPDATE";
  replicas.Must("DROP TRIGGER tr0");
  replicas.Check();
}

// The check before the log compiles texts too, one at a time, and queries look at no clock meanwhile.
TEST(CompilePrice, TextsThatTakeTooLongAreRefusedBeforeTheLogAndInQueries) {
  ProposalChecker checker;
  const auto parameters = [](int count) {
    return Nested(count, [](const std::string& i) { return "a + " + i; });
  };
  const std::string too_long = "UPDATE t SET b = " + parameters(12'000);
  EXPECT_THAT(checker.Check(ExecuteCommand(too_long)).message(), testing::HasSubstr("compile"));
  EXPECT_TRUE(checker.Check(ExecuteCommand("UPDATE t SET b = " + parameters(5000))).ok());
  EXPECT_TRUE(
      checker
          .Check(ExecuteCommand(
              "INSERT INTO t VALUES" +
              Joined(20'000, ", ", [](const std::string& i) { return "(" + i + ", 'x', -1)"; })))
          .ok());
  std::string with = "WITH c AS (SELECT " + parameters(2000) + " AS x FROM t) UPDATE t SET b = 0";
  for (int i = 0; i < 50; ++i) with += " + (SELECT x FROM c)";
  EXPECT_EQ(checker.Check(ExecuteCommand(with)).code(), StatusCode::kInvalidArgument);
  TestReplica replica;
  const auto view = replica.machine().OpenReadView(std::chrono::seconds(5));
  ASSERT_TRUE(view.ok()) << view.status();
  RowCollector rows;
  const Statement query{"SELECT " + parameters(12'000) + " FROM sqlite_schema", {}, {}};
  EXPECT_EQ((*view)->Query(query, {}, &rows).code(), StatusCode::kInvalidArgument);
}

// The rows are not split into tokens, and the price is the same as if they were. A comment at the
// end has the text split.
TEST(CompilePrice, RowsOfConstantsHaveThePriceOfTheirTokens) {
  const std::string rows =
      Joined(3000, ", ", [](const std::string& i) { return "(" + i + ", 'a (b', NULL, 2.5)"; });
  const CompilePrice table{7, 2, 3, 4};
  const auto find = [&](const std::string& name) {
    return name == "t" || name == "count" ? &table : nullptr;
  };
  for (const std::string head :
       {"INSERT INTO t VALUES", "INSERT INTO t(a, b, c, d) VALUES", "INSERT INTO count(a) VALUES",
        "REPLACE INTO t SELECT a, 1, 2, sum(b) FROM t UNION ALL VALUES",
        "INSERT INTO t SELECT a OR 1 OR 2, 1 FROM t JOIN t WHERE a = 3 AND b = 4 UNION VALUES",
        "INSERT INTO t SELECT 1 UNION ALL SELECT * FROM (VALUES(1, 2)) UNION ALL VALUES"}) {
    const CompilePrice quick = PriceOfText(head + rows, find);
    const CompilePrice split = PriceOfText(head + rows + " -- end", find);
    EXPECT_EQ(quick.steps, split.steps) << head;
    EXPECT_EQ(quick.tables, split.tables) << head;
    EXPECT_EQ(quick.trees, split.trees) << head;
    EXPECT_EQ(quick.columns_max, split.columns_max) << head;
  }
}

}  // namespace
}  // namespace cairn::state_machine
