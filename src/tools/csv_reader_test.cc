#include "tools/csv_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

namespace cairn::tools {
namespace {

using testing::ElementsAre;

std::vector<CsvReader::Row> RowsOf(const std::string& text) {
  std::istringstream in(text);
  CsvReader reader(&in);
  std::vector<CsvReader::Row> rows(1);
  while (reader.Next(&rows.back())) rows.emplace_back();
  rows.pop_back();
  return rows;
}

TEST(CsvReader, ReadsFieldsQuotesAndLines) {
  const auto rows = RowsOf(
      "\xef\xbb\xbf"
      "a,\"b,\"\"c\"\"\",\r\n\"two\nlines\",,x\nlast,row,\"\"");
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_THAT(rows[0].fields, ElementsAre("a", "b,\"c\"", ""));
  EXPECT_THAT(rows[1].fields, ElementsAre("two\nlines", "", "x"));
  EXPECT_THAT(rows[2].fields, ElementsAre("last", "row", ""));
  EXPECT_EQ(rows[1].line, 2u);
  EXPECT_EQ(rows[2].line, 4u);
  for (const auto& row : rows) EXPECT_EQ(row.trouble, "");
  EXPECT_TRUE(RowsOf("").empty());
}

TEST(CsvReader, SaysWhatIsWrong) {
  const auto rows = RowsOf("\"a\"b,c\nfine\n\"open\nmore");
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[0].trouble, "text follows a closing quote");
  EXPECT_EQ(rows[1].trouble, "");
  EXPECT_EQ(rows[2].trouble, "the quote in line 3 is never closed");
}

}  // namespace
}  // namespace cairn::tools
