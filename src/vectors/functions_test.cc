#include "vectors/functions.h"

#include <gtest/gtest.h>

#include <string>

namespace cairn::vectors {
namespace {

class FunctionsTest : public ::testing::Test {
 protected:
  FunctionsTest() {
    EXPECT_EQ(sqlite3_open(":memory:", &db_), SQLITE_OK);
    EXPECT_TRUE(AddFunctions(db_, {}).ok());
  }
  ~FunctionsTest() override { sqlite3_close(db_); }

  // The first value, or the error.
  std::string Eval(const std::string& expression) {
    const std::string sql = "SELECT " + expression;
    sqlite3_stmt* stmt = nullptr;
    std::string result;
    if (sqlite3_prepare_v2(db_, sql.c_str(), -1, &stmt, nullptr) == SQLITE_OK &&
        sqlite3_step(stmt) == SQLITE_ROW) {
      const auto* const text = reinterpret_cast<const char*>(sqlite3_column_text(stmt, 0));
      result = text == nullptr ? "NULL" : text;
    } else {
      result = std::string("error: ") + sqlite3_errmsg(db_);
    }
    sqlite3_finalize(stmt);
    return result;
  }

  sqlite3* db_ = nullptr;
};

TEST_F(FunctionsTest, MakeAndReadVectors) {
  EXPECT_EQ(Eval("hex(vector('[1]'))"), "0000803F");
  EXPECT_EQ(Eval("vector_extract(vector32('[1, 2.5, -3e-2]'))"), "[1,2.5,-0.03]");
  EXPECT_EQ(Eval("vector_extract(vector64('[0.1]'))"), "[0.1]");
  EXPECT_EQ(Eval("vector_extract(vector16(vector64('[0.5, 3]')))"), "[0.5,3]");
  EXPECT_EQ(Eval("vector_extract(vectorb16('[0.5, 3]'))"), "[0.5,3]");
  EXPECT_EQ(Eval("vector_extract(vector8('[0, 255]'))"), "[0,255]");
  EXPECT_EQ(Eval("vector_extract(vector1bit('[-4, 7]'))"), "[-1,1]");
  EXPECT_EQ(Eval("vector_extract('[1,2]')"), "[1,2]");
}

TEST_F(FunctionsTest, MeasureDistances) {
  EXPECT_EQ(Eval("vector_distance_cos('[1,2]', '[2,4]')"), "0.0");
  EXPECT_EQ(Eval("vector_distance_cos(vector64('[1,0]'), vector64('[0,1]'))"), "1.0");
  EXPECT_EQ(Eval("vector_distance_cos('[1,2]', '[-1,-2]')"), "2.0");
  EXPECT_EQ(Eval("vector_distance_cos('[0,0]', '[1,1]')"), "NULL");
  EXPECT_EQ(Eval("vector_distance_l2('[0,0]', vector32('[3,4]'))"), "5.0");
  EXPECT_EQ(Eval("vector_distance_cos(vector1bit('[1,1,1]'), vector1bit('[1,-1,-1]'))"), "2.0");
}

TEST_F(FunctionsTest, GiveNullForNull) {
  for (const char* each : {"vector32(NULL)", "vector_extract(NULL)",
                           "vector_distance_cos(NULL, '[1]')", "vector_distance_l2('[1]', NULL)"}) {
    EXPECT_EQ(Eval(each), "NULL") << each;
  }
}

TEST_F(FunctionsTest, SayWhatIsWrong) {
  EXPECT_EQ(Eval("vector32(7)"),
            "error: a vector is given as a text like '[1, 2.5]' or as a blob of vector32() or one "
            "of its siblings, not as a number");
  EXPECT_EQ(Eval("vector32('[1,x]')"),
            "error: the text is no vector: element 1 is no number: 'x'; write it as "
            "'[1, 2.5, -3e-2]'");
  EXPECT_EQ(Eval("vector_distance_cos('[1]', vector64('[1]'))"),
            "error: the vectors are of different kinds, float32 and float64; convert one, for "
            "example with vector32()");
  EXPECT_EQ(Eval("vector_distance_cos('[1]', '[1,2]')"),
            "error: the vectors have different numbers of dimensions, 1 and 2");
  EXPECT_EQ(Eval("vector_extract(x'0000c07f')"),
            "error: element 0 of the vector is infinite or not a number; give finite numbers");
  EXPECT_EQ(Eval("vector32(x'0000c07f')"), Eval("vector_extract(x'0000c07f')"));
}

TEST_F(FunctionsTest, AreGoneWhenTheyAreRemoved) {
  EXPECT_TRUE(RemoveFunctions(db_).ok());
  EXPECT_EQ(Eval("vector32('[1]')"), "error: no such function: vector32");
  EXPECT_EQ(Eval("vector_distance_l2('[1]', '[1]')"),
            "error: no such function: vector_distance_l2");
  EXPECT_TRUE(AddFunctions(db_, {}).ok());
  EXPECT_EQ(Eval("vector_extract('[1]')"), "[1]");
}

TEST_F(FunctionsTest, AskBeforeTheyWork) {
  uint64_t asked = 0;
  ASSERT_TRUE(AddFunctions(db_, [&asked](uint64_t steps) {
                asked += steps;
                return asked <= 10'000;
              }).ok());
  EXPECT_EQ(Eval("vector_distance_l2('[1]', '[1]')"), "0.0");
  EXPECT_GT(asked, 0u);
  EXPECT_LT(asked, 100u);
  EXPECT_EQ(Eval("vector32('[1" + std::string(30'000, ' ') + "]')"),
            std::string("error: ") + kNotAllowed);
}

TEST_F(FunctionsTest, BitsCostByTheDimensionsThatTheyBecome) {
  uint64_t asked = 0;
  ASSERT_TRUE(AddFunctions(db_, [&asked](uint64_t steps) {
                asked += steps;
                return true;
              }).ok());
  // 65,536 dimensions in 8 KB: zeros, the padding, the unused bits, and the kind.
  const std::string bits = "CAST(zeroblob(8192) || x'001003' AS BLOB)";
  for (const char* each : {"vector8", "vector16", "vector32", "vector64"}) {
    asked = 0;
    EXPECT_EQ(Eval("length(" + std::string(each) + "(" + bits + ")) > 65536"), "1") << each;
    EXPECT_GE(asked, 65'536u / 2) << each;
  }
  asked = 0;
  EXPECT_EQ(Eval("vector_distance_cos(" + bits + ", " + bits + ")"), "0.0");
  EXPECT_LT(asked, 1000u);  // 64 at a time
}

}  // namespace
}  // namespace cairn::vectors
