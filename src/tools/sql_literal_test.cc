#include "tools/sql_literal.h"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <bit>
#include <cmath>
#include <random>

namespace cairn::tools {
namespace {

class SqlLiteralTest : public testing::Test {
 protected:
  SqlLiteralTest() { sqlite3_open(":memory:", &db_); }
  ~SqlLiteralTest() override { sqlite3_close(db_); }

  double Read(const std::string& literal) {
    sqlite3_stmt* stmt = nullptr;
    EXPECT_EQ(sqlite3_prepare_v2(db_, ("SELECT " + literal).c_str(), -1, &stmt, nullptr), SQLITE_OK)
        << literal;
    EXPECT_EQ(sqlite3_step(stmt), SQLITE_ROW);
    EXPECT_EQ(sqlite3_column_type(stmt, 0), SQLITE_FLOAT) << literal;
    const double real = sqlite3_column_double(stmt, 0);
    sqlite3_finalize(stmt);
    return real;
  }

  sqlite3* db_ = nullptr;
};

// SQLite 3.40 reads 5.69381408450711e+163 as its neighbour.
TEST_F(SqlLiteralTest, ARealReadsBackExactly) {
  std::mt19937_64 random(1);
  std::vector<double> reals = {
      5.69381408450711e+163,  0.1, 1.5, -2.0, 1e15, 5e-324, 1.7976931348623157e308, -5e-324,
      2.2250738585072014e-308};
  while (reals.size() < 20'000) {
    const double real = std::bit_cast<double>(random());
    if (std::isfinite(real)) reals.push_back(real);
  }
  for (const double real : reals) {
    const std::string literal = LiteralText(real);
    EXPECT_EQ(std::bit_cast<uint64_t>(Read(literal)), std::bit_cast<uint64_t>(real)) << literal;
  }
  EXPECT_EQ(LiteralText(0.1), "0.1");
}

// The shell of SQLite drops a carriage return before a line feed, and ends a text at a NUL.
TEST_F(SqlLiteralTest, ATextWithACarriageReturnOrANulHasNoneInItsLiteral) {
  EXPECT_EQ(LiteralText("a\r\nb"), "CAST(x'610d0a62' AS TEXT)");
  EXPECT_EQ(LiteralText("a\rb"), "CAST(x'610d62' AS TEXT)");
  EXPECT_EQ(LiteralText(std::string("a\0b", 3)), "CAST(x'610062' AS TEXT)");
  EXPECT_EQ(LiteralText("it's\n"), "'it''s\n'");
}

}  // namespace
}  // namespace cairn::tools
