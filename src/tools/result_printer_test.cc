#include "tools/result_printer.h"

#include <gtest/gtest.h>

#include <limits>
#include <sstream>

#include "tools/sql_literal.h"
#include "tools/utf8.h"

namespace cairn::tools {
namespace {

std::string Print(PrintStyle style, const std::vector<Column>& columns,
                  const std::vector<Row>& rows) {
  std::ostringstream out;
  auto printer = NewResultPrinter(style, &out);
  EXPECT_TRUE(printer->OnColumns(columns).ok());
  for (const Row& row : rows) EXPECT_TRUE(printer->OnRow(row).ok());
  printer->Finish();
  return out.str();
}

const std::vector<Column> kColumns = {{"id", "INTEGER"}, {"name", "TEXT"}};

TEST(ResultPrinter, ATableIsAlignedAlsoWithWideCharacters) {
  EXPECT_EQ(Print({OutputMode::kAuto}, kColumns,
                  {{int64_t{1}, std::string("灯")}, {int64_t{20}, std::monostate()}}),
            "┌────┬──────┐\n"
            "│ id │ name │\n"
            "├────┼──────┤\n"
            "│  1 │ 灯   │\n"
            "│ 20 │ NULL │\n"
            "└────┴──────┘\n"
            "2 rows\n");
}

TEST(ResultPrinter, ATableCutsLongCellsAndEscapesControlCharacters) {
  const std::string out = Print({OutputMode::kAuto}, {{"a", ""}},
                                {{std::string(100, 'x')}, {std::string("\x1b[2J\nend")}});
  EXPECT_NE(out.find(" " + std::string(59, 'x') + "… "), std::string::npos) << out;
  EXPECT_NE(out.find("\\x1b[2J\\nend"), std::string::npos) << out;
  EXPECT_EQ(out.find('\x1b'), std::string::npos);
}

TEST(ResultPrinter, ATableOfManyRowsFitsLaterRowsToTheFirst) {
  std::vector<Row> rows(600, Row{std::string("ab")});
  rows.push_back({std::string("much longer")});
  const std::string out = Print({OutputMode::kAuto}, {{"a", ""}}, rows);
  EXPECT_NE(out.find("│ m… │\n└────┘\n601 rows\n"), std::string::npos) << out.substr(9000);
}

TEST(ResultPrinter, CsvQuotesWhatNeedsIt) {
  EXPECT_EQ(Print({OutputMode::kCsv, true}, kColumns,
                  {{1.0, std::string("a,\"b\"\nc")}, {std::monostate(), Blob{"\x01\xff"}}}),
            "id,name\n1.0,\"a,\"\"b\"\"\nc\"\n,x'01ff'\n");
}

TEST(ResultPrinter, JsonKeepsOrderEqualNamesAndLargeNumbers) {
  EXPECT_EQ(Print({OutputMode::kJson}, {{"b", ""}, {"a", ""}, {"a", ""}},
                  {{std::numeric_limits<int64_t>::min(), std::string("\"\n\xff"), std::monostate()},
                   {0.1, Blob{"z"}, -std::numeric_limits<double>::infinity()}}),
            "[{\"b\":-9223372036854775808,\"a\":\"\\\"\\n\xef\xbf\xbd\",\"a\":null},\n"
            " {\"b\":0.1,\"a\":\"x'7a'\",\"a\":-9.0e+999}]\n");
  EXPECT_EQ(Print({OutputMode::kJson}, kColumns, {}), "[]\n");
}

TEST(ResultPrinter, LinesAreNamesAndValues) {
  EXPECT_EQ(Print({OutputMode::kLine}, kColumns, {{int64_t{1}, std::string("x")}, {2.5, 3e100}}),
            "   id = 1\n name = x\n\n   id = 2.5\n name = 3e+100\n");
}

TEST(ResultPrinter, AProgramGetsValuesWhole) {
  const std::string whole(1000, 'x');
  const std::vector<Row> rows = {{whole, std::string("a\x1b")}};
  for (const OutputMode mode : {OutputMode::kAuto, OutputMode::kLine, OutputMode::kList}) {
    const std::string out = Print({mode, {}, {}, /*for_terminal=*/false}, kColumns, rows);
    EXPECT_NE(out.find(whole), std::string::npos) << OutputModeName(mode);
    EXPECT_EQ(Print({mode}, kColumns, rows).find('\x1b'), std::string::npos);
  }
}

TEST(ResultPrinter, ColumnsMayLeaveOutTheirNames) {
  const std::vector<Row> rows = {{int64_t{1}, std::string("x")}};
  EXPECT_EQ(Print({OutputMode::kColumn}, kColumns, rows), "id  name\n--  ----\n1   x   \n");
  EXPECT_EQ(Print({OutputMode::kColumn, false}, kColumns, rows), "1   x   \n");
  EXPECT_EQ(Print({OutputMode::kList}, kColumns, rows), "1|x\n");
  EXPECT_EQ(Print({OutputMode::kList, true}, kColumns, rows), "id|name\n1|x\n");
  EXPECT_EQ(Print({OutputMode::kCsv}, kColumns, {{std::string(), std::monostate()}}), "\"\",\n");
}

TEST(LiteralText, ReadsBackAsTheSameValue) {
  EXPECT_EQ(LiteralText(0.1), "0.1");
  EXPECT_EQ(LiteralText(3.0), "3.0");
  EXPECT_EQ(LiteralText(-std::numeric_limits<double>::infinity()), "-1e999");
  EXPECT_EQ(LiteralText(std::string("it's")), "'it''s'");
  EXPECT_EQ(LiteralText(std::string("a\0b", 3)), "CAST(x'610062' AS TEXT)");
  EXPECT_EQ(LiteralText(Blob{"\x01\xff"}), "x'01ff'");
  EXPECT_EQ(NameText("plain"), "plain");
  EXPECT_EQ(NameText("order"), "\"order\"");
  EXPECT_EQ(NameText("a\"b"), "\"a\"\"b\"");
}

TEST(DisplayWidth, CountsColumnsNotBytes) {
  EXPECT_EQ(DisplayWidth("abc"), 3u);
  EXPECT_EQ(DisplayWidth("数据"), 4u);
  EXPECT_EQ(DisplayWidth("e\u0301"), 1u);
  EXPECT_EQ(DisplayWidth("\xff\xc0\x80"), 3u);
  EXPECT_EQ(DisplayWidth("😀"), 2u);
}

}  // namespace
}  // namespace cairn::tools
