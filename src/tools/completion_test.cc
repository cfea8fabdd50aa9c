#include "tools/completion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cairn::tools {
namespace {

using testing::ElementsAre;

Completion Of(const std::string& before) {
  return CompletionOf(before, [](const std::string&) {
    return std::vector<std::string>{"books", "book_id", ".tables", "SELECT", "author"};
  });
}

TEST(Completion, InsertsWhatAllChoicesShare) {
  EXPECT_EQ(Of("SELECT * FROM aut").insert, "hor ");
  const Completion several = Of("SELECT b");
  EXPECT_EQ(several.insert, "ook");
  EXPECT_THAT(several.choices, ElementsAre("book_id", "books"));
  EXPECT_EQ(Of("SELECT books.book_").insert, "id ");
  EXPECT_EQ(Of("  .ta").insert, "bles ");
  EXPECT_EQ(Of("sel").insert, "ECT ");
  EXPECT_TRUE(Of("SELECT ").choices.empty());
  EXPECT_TRUE(Of("SELECT x").choices.empty());
}

}  // namespace
}  // namespace cairn::tools
