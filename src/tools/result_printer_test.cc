#include "tools/result_printer.h"

#include <gtest/gtest.h>

#include <limits>
#include <sstream>

#include "tools/utf8.h"

namespace cairn::tools {
namespace {

std::string Print(OutputMode mode, const std::vector<Column>& columns,
                  const std::vector<Row>& rows) {
  std::ostringstream out;
  auto printer = NewResultPrinter(mode, &out);
  EXPECT_TRUE(printer->OnColumns(columns).ok());
  for (const Row& row : rows) EXPECT_TRUE(printer->OnRow(row).ok());
  printer->Finish();
  return out.str();
}

const std::vector<Column> kColumns = {{"id", "INTEGER"}, {"name", "TEXT"}};

TEST(ResultPrinter, ATableIsAlignedAlsoWithWideCharacters) {
  EXPECT_EQ(Print(OutputMode::kTable, kColumns,
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
  const std::string out = Print(OutputMode::kTable, {{"a", ""}},
                                {{std::string(100, 'x')}, {std::string("\x1b[2J\nend")}});
  EXPECT_NE(out.find(" " + std::string(59, 'x') + "… "), std::string::npos) << out;
  EXPECT_NE(out.find("\\x1b[2J\\nend"), std::string::npos) << out;
  EXPECT_EQ(out.find('\x1b'), std::string::npos);
}

TEST(ResultPrinter, ATableOfManyRowsFitsLaterRowsToTheFirst) {
  std::vector<Row> rows(600, Row{std::string("ab")});
  rows.push_back({std::string("much longer")});
  const std::string out = Print(OutputMode::kTable, {{"a", ""}}, rows);
  EXPECT_NE(out.find("│ m… │\n└────┘\n601 rows\n"), std::string::npos) << out.substr(9000);
}

TEST(ResultPrinter, CsvQuotesWhatNeedsIt) {
  EXPECT_EQ(Print(OutputMode::kCsv, kColumns,
                  {{1.0, std::string("a,\"b\"\nc")}, {std::monostate(), Blob{"\x01\xff"}}}),
            "id,name\n1.0,\"a,\"\"b\"\"\nc\"\n,x'01ff'\n");
}

TEST(ResultPrinter, JsonKeepsOrderEqualNamesAndLargeNumbers) {
  EXPECT_EQ(Print(OutputMode::kJson, {{"b", ""}, {"a", ""}, {"a", ""}},
                  {{std::numeric_limits<int64_t>::min(), std::string("\"\n\xff"), std::monostate()},
                   {0.1, Blob{"z"}, -std::numeric_limits<double>::infinity()}}),
            "[{\"b\":-9223372036854775808,\"a\":\"\\\"\\n\xef\xbf\xbd\",\"a\":null},\n"
            " {\"b\":0.1,\"a\":\"x'7a'\",\"a\":-9.0e+999}]\n");
  EXPECT_EQ(Print(OutputMode::kJson, kColumns, {}), "[]\n");
}

TEST(ResultPrinter, LinesAreNamesAndValues) {
  EXPECT_EQ(Print(OutputMode::kLine, kColumns, {{int64_t{1}, std::string("x")}, {2.5, 3e100}}),
            "  id = 1\nname = x\n\n  id = 2.5\nname = 3e+100\n");
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
