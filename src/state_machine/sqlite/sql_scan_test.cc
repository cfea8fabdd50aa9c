#include "state_machine/sqlite/sql_scan.h"

#include <gtest/gtest.h>

#include <string>

namespace cairn::state_machine {
namespace {

constexpr size_t kBytesMax = 16;

bool Long(const std::string& sql) { return HasLongLiteral(sql, kBytesMax); }

TEST(HasLongLiteral, CountsALiteralAsItIsWritten) {
  const std::string fits(kBytesMax - 2, 'v');
  EXPECT_FALSE(Long("SELECT '" + fits + "' -- and more text behind"));
  EXPECT_TRUE(Long("SELECT '" + fits + "v'"));
  EXPECT_TRUE(Long("SELECT x'" + fits + "'"));
  EXPECT_TRUE(Long("SELECT \"" + fits + "v\""));
  EXPECT_TRUE(Long("SELECT [" + fits + "v]"));
  EXPECT_TRUE(Long("SELECT 'never closed " + fits));
}

TEST(HasLongLiteral, FindsALiteralThatIsCutByDoubledQuotes) {
  EXPECT_TRUE(Long("SELECT 'a''b''c''d''e''f''g''h'"));
  EXPECT_FALSE(Long("SELECT '', '', '', '', '', ''"));
}

TEST(HasLongLiteral, IsNotMisledByManyShortOnesOrByComments) {
  std::string many = "INSERT INTO t VALUES('short')";
  for (int i = 0; i < 100; ++i) many += ",('short')";
  EXPECT_FALSE(Long(many));
  EXPECT_FALSE(Long("SELECT 1 /* 'a quote that stands in a comment */ + 1"));
}

TEST(CallsChanges, LooksForACallUnderAnySpelling) {
  EXPECT_TRUE(CallsChanges("CREATE TABLE t(x DEFAULT (changes()))"));
  EXPECT_TRUE(CallsChanges("CREATE TABLE t(x DEFAULT (1 + Total_Changes /* all */ ()))"));
  EXPECT_TRUE(CallsChanges("CREATE TABLE t(x DEFAULT (\"changes\"()), y)"));
  EXPECT_FALSE(CallsChanges("CREATE TABLE changes(changes, x DEFAULT 'changes()')"));
  EXPECT_FALSE(CallsChanges("CREATE TABLE t(x) -- changes()"));
}

TEST(TriggerCallsChangesFirst, ACallMayFollowAStatementOfTheTrigger) {
  const auto first = [](const std::string& body) {
    return TriggerCallsChangesFirst("CREATE TRIGGER tr AFTER INSERT ON t " + body + " END");
  };
  EXPECT_FALSE(first("BEGIN UPDATE u SET x = 1; INSERT INTO u SELECT 1 WHERE changes() = 0;"));
  EXPECT_TRUE(first("BEGIN INSERT INTO u SELECT changes(); UPDATE u SET x = 1;"));
  EXPECT_TRUE(first("WHEN changes() > 0 BEGIN UPDATE u SET x = 1; SELECT changes();"));
  EXPECT_TRUE(first("BEGIN SELECT 1; INSERT INTO u VALUES(changes());"));
  EXPECT_FALSE(first("BEGIN SELECT 1; DELETE FROM u; INSERT INTO u VALUES(changes());"));
  EXPECT_TRUE(TriggerCallsChangesFirst(
      "CREATE TRIGGER begin UPDATE ON t BEGIN SELECT 1; INSERT INTO u VALUES(changes()); END"));
  EXPECT_FALSE(first("BEGIN INSERT INTO u VALUES(1);"));
}

TEST(WithoutRollback, LooksForTheWordInAnyCase) {
  EXPECT_EQ(WithoutRollback("INSERT OR ROLLBACK INTO t VALUES(1)"),
            "INSERT OR ABORT INTO t VALUES(1)");
  EXPECT_EQ(WithoutRollback("UPDATE or rollBacK t SET a=1"), "UPDATE or ABORT t SET a=1");
  EXPECT_EQ(WithoutRollback("CREATE TABLE t(a UNIQUE ON CONFLICT RollBack)"),
            "CREATE TABLE t(a UNIQUE ON CONFLICT ABORT)");
  EXPECT_EQ(WithoutRollback("INSERT INTO t VALUES('rollback')"),
            "INSERT INTO t VALUES('rollback')");
}

TEST(WithoutRollback, ChangesRaiseInTriggers) {
  EXPECT_EQ(WithoutRollback("CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT RAISE(ROLLBACK, 'no')"
                            " AS x, raise ( rollback , \"n\" ); END"),
            "CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT RAISE(ABORT, 'no')"
            " AS x, raise ( ABORT , \"n\" ); END");
}

TEST(WithoutRollback, LeavesNamesAsTheyAre) {
  for (const char* sql :
       {"CREATE TABLE raise(rollback)", "CREATE TABLE raise(rollback, x)",
        "CREATE INDEX i ON raise(rollback, x)", "INSERT INTO t(rollback) VALUES(1)",
        "INSERT INTO raise(rollback, x) VALUES(1, 2)",
        "CREATE VIEW raise(rollback, x) AS SELECT 1, 2",
        "CREATE TABLE t(x REFERENCES raise(rollback))",
        "WITH raise(rollback, x) AS (SELECT 1, 2) INSERT INTO t SELECT rollback FROM raise",
        "CREATE TRIGGER r AFTER INSERT ON t BEGIN INSERT INTO raise(rollback, x) VALUES(1, 2); END",
        "CREATE TRIGGER r AFTER INSERT ON t BEGIN INSERT INTO t SELECT * FROM"
        " (WITH raise(rollback, x) AS (SELECT 1, 2) SELECT x FROM raise); END",
        "UPDATE t SET rollback = 1"}) {
    EXPECT_EQ(WithoutRollback(sql), sql);
  }
}

TEST(SqlScan, RowsOfConstantsAreLeftOut) {
  std::string rows;
  for (int i = 0; i < 50; ++i) {
    rows +=
        (i == 0 ? "" : " ,\n") + std::string("( ") + std::to_string(i) + ",'it''s', null,1.5,'')";
  }
  const std::string head = "INSERT OR IGNORE INTO t(a, \"VALUES\") VALUES";
  EXPECT_EQ(WithoutConstantRows(head + rows), head);
  EXPECT_EQ(WithoutConstantRows(head + rows + " ; ; "), head);
  EXPECT_EQ(WithoutConstantRows("/* VALUES (1) */ REPLACE INTO t VALUES " + rows),
            "/* VALUES (1) */ REPLACE INTO t VALUES");
  for (const std::string end :
       {",", ", ()", ", (1", ", ('a)", ", (-1)", ", (a)", ", (1 + 1)", ", ('a' 'b')", ", (1e5)",
        ", (x'00')", ", (?)", ", (nulls)", " ON CONFLICT DO NOTHING", " -- end", "; SELECT 1",
        ", (SELECT 1)", ", (0x10)"}) {
    EXPECT_EQ(WithoutConstantRows(head + rows + end), head + rows + end) << end;
  }
  const std::string query = "SELECT 1 UNION ALL VALUES" + rows;
  EXPECT_EQ(WithoutConstantRows(query), query);
  EXPECT_EQ(WithoutConstantRows("INSERT INTO t VALUES(1)"), "INSERT INTO t VALUES(1)");
}

}  // namespace
}  // namespace cairn::state_machine
