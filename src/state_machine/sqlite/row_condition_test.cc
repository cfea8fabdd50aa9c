#include "state_machine/sqlite/row_condition.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cairn::state_machine {
namespace {

using ::testing::HasSubstr;

const std::vector<Column> kColumns = {
    {"id", "INTEGER"}, {"temp", "REAL"}, {"site", "VARCHAR(10)"}, {"photo", "BLOB"}, {"Order", ""}};

Row RowOf(int64_t id, double temp, std::string site) {
  return {id, temp, std::move(site), Blob{"x"}, std::monostate()};
}

std::string Answer(const std::string& text, const Row& row) {
  const auto condition = RowCondition::Compile("t", kColumns, text);
  if (!condition.ok()) return condition.status().ToString();
  const Result<bool> matches = (*condition)->Matches(row);
  if (!matches.ok()) return matches.status().ToString();
  return *matches ? "yes" : "no";
}

TEST(RowConditionTest, TakesTheRowsThatWhereTakes) {
  const Row row = RowOf(7, 31.5, "a");
  EXPECT_EQ(Answer("temp > 30 AND site = 'a'", row), "yes");
  EXPECT_EQ(Answer("temp > 30 AND site = 'b'", row), "no");
  EXPECT_EQ(Answer("temp > '30'", row), "yes") << "the type of the column decides";
  EXPECT_EQ(Answer("site = 'A'", row), "no");
  EXPECT_EQ(Answer("site = 'A' COLLATE NOCASE", row), "yes");
  EXPECT_EQ(Answer("\"order\" IS NULL", row), "yes");
  EXPECT_EQ(Answer("\"order\"", row), "no") << "NULL is not true";
  EXPECT_EQ(Answer("TEMP", row), "yes");
  EXPECT_EQ(Answer("typeof(photo) = 'blob' AND length(photo) = 1", row), "yes");
  EXPECT_EQ(Answer("1 -- all", row), "yes");
  EXPECT_EQ(Answer("site IN ('a', 'b') OR replace(site, 'a', 'c') = 'c'", row), "yes");
  EXPECT_EQ(Answer("date('2026-01-01', '+1 day') = '2026-01-02'", row), "yes");
}

TEST(RowConditionTest, AsksEachRowAnew) {
  const auto condition = *RowCondition::Compile("t", kColumns, "temp > 30");
  EXPECT_TRUE(*condition->Matches(RowOf(1, 31, "")));
  EXPECT_FALSE(*condition->Matches(RowOf(1, 29, "")));
  EXPECT_FALSE(*condition->Matches({})) << "a row of an older definition";
  EXPECT_TRUE(*condition->Matches(RowOf(2, 31, std::string(8 << 20, 'x'))));
}

TEST(RowConditionTest, RefusesWhatDependsOnMoreThanTheRow) {
  const Row row = RowOf(7, 31.5, "a");
  for (const char* text : {"",
                           "temp >",
                           "nothing = 1",
                           "1; DROP TABLE t",
                           "temp > ?1",
                           "temp > :x",
                           "temp > (SELECT 1)",
                           "EXISTS (SELECT 1)",
                           "id IN (SELECT 1)",
                           "random() > 0",
                           "count(*) > 1",
                           "1) OR (1",
                           "1), b AS (1",
                           "1)) --",
                           "changes() = 0",
                           "last_insert_rowid() = 0",
                           "date('now') > '2020'",
                           "CURRENT_TIMESTAMP > '2020'",
                           "(1",
                           "/* open",
                           "'open",
                           "id = 1 /*",
                           "row_number() OVER () = 1",
                           "site MATCH 'a'",
                           "load_extension('x')",
                           "t.id = 1"}) {
    EXPECT_THAT(Answer(text, row), HasSubstr("INVALID_ARGUMENT")) << text;
  }
  EXPECT_THAT(Answer(std::string("1\0", 2), row), HasSubstr("INVALID_ARGUMENT"));
  EXPECT_THAT(Answer("1 OR " + std::string(5000, ' ') + "1", row), HasSubstr("INVALID_ARGUMENT"));
}

TEST(RowConditionTest, FailsForARowThatNeedsTooMuch) {
  EXPECT_THAT(Answer("date(site) > '2020'", RowOf(1, 1, "now")), HasSubstr("FAILED_PRECONDITION"));
  EXPECT_THAT(Answer("length(zeroblob(id)) > 1", RowOf(1 << 20, 1, "")),
              HasSubstr("FAILED_PRECONDITION"));
  EXPECT_THAT(Answer("json_extract(site, '$') = 1", RowOf(1, 1, "{")),
              HasSubstr("FAILED_PRECONDITION"));
  std::string many = "upper(site) = 'Y'";
  for (int i = 0; i < 100; ++i) many += " OR upper(site) = 'Y'";
  EXPECT_EQ(Answer(many, RowOf(1, 1, "x")), "no");
  EXPECT_THAT(Answer(many, RowOf(1, 1, std::string(16 << 20, 'x'))), HasSubstr("too much work"));
}

TEST(RowConditionTest, NamesOfColumnsMayBeAnything) {
  const std::vector<Column> columns = {
      {"cairn_key", "INT"}, {"cairn_passes", "INT"}, {"a\"b", "x) , (y"}, {"select", "TEXT"}};
  const auto condition = RowCondition::Compile(
      "the \"table\"", columns,
      "cairn_key = 1 AND cairn_passes = 2 AND \"a\"\"b\" = 3 AND \"select\" = 'x'");
  ASSERT_TRUE(condition.ok()) << condition.status();
  EXPECT_TRUE(*(*condition)->Matches({int64_t{1}, int64_t{2}, int64_t{3}, std::string("x")}));
}

TEST(RowConditionTest, WatchedColumnOfTypeAnyIsComparedAsItsTableDoes) {
  const std::vector<Column> columns = {{"v", "ANY"}};
  for (const bool is_strict : {false, true}) {
    const auto condition = RowCondition::Compile("t", columns, "v = '5'", is_strict);
    ASSERT_TRUE(condition.ok()) << condition.status();
    EXPECT_EQ(*(*condition)->Matches({int64_t{5}}), !is_strict);
    EXPECT_EQ(*(*condition)->Matches({std::string("5")}), true);
  }
}

TEST(RowConditionTest, WatchedNameInQuotesIsAColumnAndNeverAText) {
  EXPECT_THAT(Answer("\"sight\" = 'a'", RowOf(1, 1, "a")), HasSubstr("no such column"));
}

// One LIKE is one step of SQLite, and may compare each character with each of the pattern.
TEST(RowConditionTest, WatchedPatternsShareTheWorkOfTheRow) {
  const std::string pattern = "site LIKE '%" + std::string(20, 'a') + "b'";
  std::string many = pattern;
  for (int i = 0; i < 80; ++i) many += " OR " + pattern;
  EXPECT_EQ(Answer(many, RowOf(1, 1, std::string(1000, 'a'))), "no");
  EXPECT_THAT(Answer(many, RowOf(1, 1, std::string(1 << 20, 'a'))), HasSubstr("too much work"));
  EXPECT_EQ(Answer(pattern, RowOf(1, 1, std::string(1 << 20, 'a') + "b")), "yes");
}

TEST(RowConditionTest, WatchedRowThatIsLongIsForgotten) {
  const auto condition = *RowCondition::Compile("t", kColumns, "site = 'x'");
  EXPECT_FALSE(*condition->Matches(RowOf(1, 1, "a")));
  const sqlite3_int64 before = sqlite3_memory_used();
  EXPECT_FALSE(*condition->Matches(RowOf(1, 1, std::string(8 << 20, 'x'))));
  EXPECT_LT(sqlite3_memory_used(), before + (256 << 10));
  EXPECT_TRUE(*condition->Matches(RowOf(1, 1, "x")));
}

}  // namespace
}  // namespace cairn::state_machine
