#include "tools/sql_text.h"

#include <gtest/gtest.h>

#include <vector>

namespace cairn::tools {
namespace {

std::vector<std::string> Split(std::string_view text) {
  StatementSplitter splitter;
  splitter.Append(text);
  std::vector<std::string> out;
  while (auto statement = splitter.Next()) out.push_back(statement->sql);
  return out;
}

using Texts = std::vector<std::string>;

TEST(StatementSplitter, CutsAtSemicolonsAndTrims) {
  EXPECT_EQ(Split("SELECT 1;  SELECT 2 ;\n"), (Texts{"SELECT 1", "SELECT 2"}));
  EXPECT_EQ(Split(";;;"), Texts{});
  EXPECT_EQ(Split("SELECT 1"), Texts{});
}

TEST(StatementSplitter, SemicolonsInQuotesEndNothing) {
  EXPECT_EQ(Split("SELECT 'a;b''c;', \"x;\", `y;`, [z;];"),
            (Texts{"SELECT 'a;b''c;', \"x;\", `y;`, [z;]"}));
  EXPECT_EQ(Split("SELECT 'never closed; SELECT 1;"), Texts{});
}

TEST(StatementSplitter, SemicolonsInCommentsEndNothing) {
  EXPECT_EQ(Split("SELECT 1 -- a; b\n + 1; /* c; */ SELECT 2;"),
            (Texts{"SELECT 1 -- a; b\n + 1", "SELECT 2"}));
  EXPECT_EQ(Split("-- nothing;\n/* at; all */;"), Texts{});
  EXPECT_EQ(Split("/* open ; SELECT 1;"), Texts{});
}

TEST(StatementSplitter, SaysInWhichLineAStatementBegins) {
  StatementSplitter splitter;
  splitter.Append("-- a file\n\nSELECT 1;\nSELECT 2; SELECT\n 3;\n");
  std::vector<size_t> lines;
  while (auto statement = splitter.Next()) lines.push_back(statement->line);
  splitter.Append("\n/* the\nlast */ SELECT 4");
  lines.push_back(splitter.TakeRest().line);
  EXPECT_EQ(lines, (std::vector<size_t>{3, 4, 4, 8}));
}

TEST(StatementSplitter, ATriggerIsOneStatement) {
  const std::string trigger =
      "CREATE TRIGGER t AFTER INSERT ON a BEGIN INSERT INTO b VALUES (1); DELETE FROM c; END";
  EXPECT_EQ(Split(trigger + "; SELECT 1;"), (Texts{trigger, "SELECT 1"}));
}

TEST(StatementSplitter, TheResultDoesNotDependOnHowTheTextArrives) {
  const std::string text =
      "INSERT INTO a VALUES ('x;''y'); -- c;\nCREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; "
      "END; /* ; */ SELECT [;], \"\"\";\";";
  const Texts whole = Split(text);
  ASSERT_EQ(whole.size(), 3u);
  for (size_t step = 1; step < 7; ++step) {
    StatementSplitter splitter;
    Texts out;
    for (size_t at = 0; at < text.size(); at += step) {
      splitter.Append(text.substr(at, step));
      // A quote at the end of the text so far may be the first half of a doubled one: as the shell
      // does, take statements only at the end of lines (here: never in the middle of one).
      if (at + step < text.size() && text[std::min(at + step, text.size()) - 1] != '\n') continue;
      while (auto statement = splitter.Next()) out.push_back(statement->sql);
    }
    EXPECT_EQ(out, whole) << "in steps of " << step;
  }
}

TEST(StatementSplitter, TheRestIsWhatFollowsTheLastSemicolon) {
  StatementSplitter splitter;
  splitter.Append("SELECT 1; -- done\n");
  EXPECT_TRUE(splitter.Next());
  EXPECT_FALSE(splitter.Next());
  EXPECT_FALSE(splitter.HasRest());
  splitter.Append("SELECT 2\n");
  EXPECT_FALSE(splitter.Next());
  EXPECT_TRUE(splitter.HasRest());
  EXPECT_EQ(splitter.TakeRest().sql, "SELECT 2");
  EXPECT_FALSE(splitter.HasRest());
}

TEST(IsQuery, TellsReadsFromWrites) {
  for (const char* sql :
       {"SELECT 1", " -- c\n select 1", "\xef\xbb\xbfSELECT 1", "VALUES (1)",
        "EXPLAIN QUERY PLAN DELETE FROM t", "WITH a AS (SELECT 1) SELECT * FROM a",
        "WITH a(x) AS (VALUES (1)), b AS (SELECT 2) VALUES (3)", "PRAGMA user_version",
        "PRAGMA journal_mode = WAL", "PRAGMA table_info(t)",
        "WITH \"insert\" AS (SELECT 1) SELECT * FROM \"insert\""}) {
    EXPECT_TRUE(IsQuery(sql)) << sql;
  }
  for (const char* sql :
       {"INSERT INTO t VALUES (1)", "UPDATE t SET a = 1", "DELETE FROM t", "CREATE TABLE t (a)",
        "WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a", "REPLACE INTO t VALUES (1)",
        "WITH a AS (SELECT 1) DELETE FROM t RETURNING *", "PRAGMA user_version = 5",
        "pragma main.application_id(7)", "", "nonsense", "ANALYZE", "REINDEX"}) {
    EXPECT_FALSE(IsQuery(sql)) << sql;
  }
}

TEST(ParseSlices, PutsALimitAtTheEnd) {
  const auto sliced = ParseSlices(" 50 DELETE FROM t WHERE a < 5; ", 1000, 10'000);
  ASSERT_TRUE(sliced.ok()) << sliced.status();
  EXPECT_EQ(sliced->sql, "DELETE FROM t WHERE a < 5\nLIMIT 50");
  EXPECT_EQ(sliced->rows, 50);
  const auto commented = ParseSlices("DELETE FROM t -- all; of them", 1000, 10'000);
  ASSERT_TRUE(commented.ok()) << commented.status();
  EXPECT_EQ(commented->sql, "DELETE FROM t -- all; of them\nLIMIT 1000");
  const auto update = ParseSlices("update t SET a = 1 where a IS NULL", 1000, 10'000);
  ASSERT_TRUE(update.ok()) << update.status();
  EXPECT_EQ(update->sql, "update t SET a = 1 where a IS NULL\nLIMIT 1000");
  EXPECT_TRUE(ParseSlices("WITH x AS (SELECT 1 LIMIT 1) DELETE FROM t", 1, 1).ok());
}

TEST(ParseSlices, RefusesWhatCannotBeCut) {
  for (const char* bad :
       {"", "7", "0 DELETE FROM t", "99999 DELETE FROM t", "99999999999999999999 DELETE FROM t",
        "SELECT 1", "INSERT INTO t SELECT * FROM u", "DELETE FROM t LIMIT 5",
        "DELETE FROM t RETURNING a", "UPDATE t SET a = 1", "DELETE FROM t; DELETE FROM u",
        "INSERT INTO t VALUES(1) ON CONFLICT DO UPDATE SET a = 2 WHERE a = 1"}) {
    EXPECT_EQ(ParseSlices(bad, 1000, 10'000).status().code(), StatusCode::kInvalidArgument) << bad;
  }
}

TEST(ParametersOf, FindsEachOnceAndNoneInQuotes) {
  EXPECT_EQ(ParametersOf("SELECT :a, @b, $c, ?5, ?, ':d', \"@e\" -- :f\n, :a"),
            (std::vector<std::string>{":a", "@b", "$c", "?5", "?"}));
  EXPECT_TRUE(ParametersOf("SELECT 'a:b', x'00' FROM t").empty());
}

TEST(IsPlainChange, LeavesOutWhatReturnsOrAsks) {
  for (const char* sql : {"INSERT INTO t VALUES(1)", "replace into t values(1)",
                          "/* x */ UPDATE t SET a = 1", "DELETE FROM t"}) {
    EXPECT_TRUE(IsPlainChange(sql)) << sql;
  }
  for (const char* sql : {"INSERT INTO t VALUES(1) RETURNING a", "CREATE TABLE t(a)", "SELECT 1",
                          "INSERT INTO t VALUES(changes())", "PRAGMA user_version = 1",
                          "INSERT INTO t VALUES(last_insert_rowid())", ""}) {
    EXPECT_FALSE(IsPlainChange(sql)) << sql;
  }
}

TEST(ParsePragmaSetting, ReadsNameAndValue) {
  for (const char* sql : {"PRAGMA foreign_keys=off", "pragma main.Foreign_Keys = 'OFF'",
                          "PRAGMA foreign_keys(OFF)"}) {
    const auto setting = ParsePragmaSetting(sql);
    ASSERT_TRUE(setting.has_value()) << sql;
    EXPECT_EQ(setting->name, "FOREIGN_KEYS");
    EXPECT_EQ(setting->value, "OFF");
  }
  EXPECT_FALSE(ParsePragmaSetting("PRAGMA foreign_keys").has_value());
  EXPECT_FALSE(ParsePragmaSetting("SELECT 1").has_value());
}

}  // namespace
}  // namespace cairn::tools
