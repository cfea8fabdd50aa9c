#include "cairn/typed.h"

#include <gtest/gtest.h>

namespace cairn {
namespace {

TEST(Typed, ValuesAreMadeOfTheTypesOfCpp) {
  const std::vector<Value> made =
      Values(1, int64_t{2}, true, 2.5f, "text", std::string("s"), Blob{"b"}, std::nullopt,
             std::optional<int>(), std::optional<std::string>("o"), Value(int64_t{9}));
  const std::vector<Value> wanted = {
      int64_t{1},          int64_t{2},       int64_t{1}, 2.5,
      std::string("text"), std::string("s"), Blob{"b"},  std::monostate(),
      std::monostate(),    std::string("o"), int64_t{9}};
  EXPECT_EQ(made, wanted);
}

TEST(Typed, RowsAreTakenApart) {
  const Row row = {int64_t{7}, 2.5, std::string("x"), Blob{"b"}, std::monostate(), int64_t{1}};
  const auto taken = RowAs<int, double, std::string, Blob, std::optional<std::string>, bool>(row);
  ASSERT_TRUE(taken.ok()) << taken.status();
  EXPECT_EQ(*taken, std::make_tuple(7, 2.5, std::string("x"), Blob{"b"},
                                    std::optional<std::string>(), true));
  const Row whole = {int64_t{3}};
  EXPECT_EQ(std::get<0>(*RowAs<double>(whole)), 3.0);
  EXPECT_EQ(std::get<0>(*RowAs<std::optional<int64_t>>(whole)), 3);
}

TEST(Typed, WhatDoesNotFitIsRefusedWithItsColumn) {
  const Row row = {int64_t{300}, std::monostate()};
  const auto null = RowAs<int64_t, int64_t>(row);
  EXPECT_EQ(null.status(),
            InvalidArgument("column 2 holds NULL, which the asked type does not take"));
  const auto narrow = RowAs<uint8_t, std::optional<int64_t>>(row);
  EXPECT_EQ(narrow.status().code(), StatusCode::kInvalidArgument);
  const auto boolean = RowAs<bool, std::optional<int64_t>>(row);
  EXPECT_FALSE(boolean.ok()) << "300 is no truth value";
  EXPECT_FALSE(RowAs<int64_t>(row).ok()) << "two columns";
  const Row text = {std::string("7")};
  EXPECT_FALSE(RowAs<int64_t>(text).ok()) << "nothing is converted";
}

}  // namespace
}  // namespace cairn
