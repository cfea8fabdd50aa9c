#include "tools/json_row.h"

#include <gtest/gtest.h>

namespace cairn::tools {
namespace {

std::string Trouble(const std::string& line) {
  const Result<JsonRow> row = ParseJsonRow(line);
  return row.ok() ? "none" : row.status().message();
}

TEST(JsonRowTest, ValuesKeepTheirTypesAndTheirOrder) {
  const JsonRow row = *ParseJsonRow(
      R"({"b": 1.5, "a": "x\u00e9", "n": null, "t": true, "i": -9223372036854775808, "c": [1, {"d": [true, "q\"", {}]}, [], 1.50]})");
  const std::vector<std::pair<std::string, Value>> expected = {
      {"b", 1.5},
      {"a", std::string("xé")},
      {"n", std::monostate()},
      {"t", int64_t{1}},
      {"i", INT64_MIN},
      {"c", std::string(R"([1,{"d":[true,"q\"",{}]},[],1.50])")}};
  EXPECT_EQ(row.fields, expected);
  EXPECT_TRUE(ParseJsonRow("{}")->fields.empty());
}

// A REAL in its place would be another number, silently.
TEST(JsonRowTest, AnIntegerPast64BitsIsRefused) {
  for (const char* number : {"9223372036854775808", "18446744073709551615", "-9223372036854775809",
                             "123456789012345678901234567890"}) {
    EXPECT_NE(Trouble(R"({"a": )" + std::string(number) + "}").find("a: an integer is larger"),
              std::string::npos)
        << number;
    EXPECT_EQ(ParseJsonRow(R"({"a": [)" + std::string(number) + "]}")->fields[0].second,
              Value("[" + std::string(number) + "]"));
  }
  EXPECT_EQ(ParseJsonRow(R"({"a": 1e30})")->fields[0].second, Value(1e30));
}

TEST(JsonRowTest, ANameTwiceIsRefused) {
  EXPECT_EQ(Trouble(R"({"a": 1, "a": 2})"), "a: the object has it twice");
  EXPECT_EQ(Trouble(R"({"a": 1, "A": 2})"), "A: the object has it twice");
  EXPECT_EQ(Trouble(R"({"a": {"b": 1}, "b": 2})"), "none");
}

TEST(JsonRowTest, DepthTakesNoStack) {
  const std::string open(300'000, '[');
  const std::string close(300'000, ']');
  EXPECT_EQ(Trouble("{\"a\":" + open + close + "}"), "a: it is deeper than 1000 levels");
  EXPECT_EQ(Trouble("{\"a\":" + open.substr(0, 999) + close.substr(0, 999) + "}"), "none");
}

TEST(JsonRowTest, AnythingElseIsNoObject) {
  for (const char* line : {"[1]", "1", "\"a\"", "{\"a\": ", "{\"a\": 1} x", "{\"a\": 1,}", ""}) {
    EXPECT_EQ(Trouble(line), "the line is not a JSON object") << line;
  }
}

}  // namespace
}  // namespace cairn::tools
