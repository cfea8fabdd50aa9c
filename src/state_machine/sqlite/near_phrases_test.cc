#include "state_machine/sqlite/near_phrases.h"

#include <gtest/gtest.h>

#include <string>

namespace cairn::state_machine {
namespace {

size_t Count(std::string_view text) { return NearPhrases(text, /*inside=*/false); }

TEST(NearPhrases, AreCountedInTheLargestNear) {
  EXPECT_EQ(Count(""), 0u);
  EXPECT_EQ(Count("a b c NEARLY"), 0u);
  EXPECT_EQ(Count("NEAR a b c"), 0u) << "a word";
  EXPECT_EQ(Count("near(a b)"), 0u) << "FTS5 knows NEAR in capitals only";
  EXPECT_EQ(Count("a OR NEAR(b c, 10) OR NEAR (d e_f \xc3\xa9*) OR (g h i j k)"), 3u);
  EXPECT_EQ(Count("NEAR(\"a b c\" + d ^e, 7)"), 3u);
  EXPECT_EQ(Count("NEAR(\"a ) \"\" b\" c)"), 2u);
  EXPECT_EQ(Count("NEAR(a b"), 2u) << "the end may come out of another text";
  EXPECT_EQ(Count("NEAR(\"a b"), 1u);
  EXPECT_EQ(Count("NEAR("), 0u);
}

TEST(NearPhrases, MayBeInTheMiddleOfANear) {
  EXPECT_EQ(NearPhrases("a b c) OR NEAR(d e)", true), 3u);
  EXPECT_EQ(NearPhrases("a b c", true), 3u);
  EXPECT_EQ(NearPhrases("a", true), 1u);
}

}  // namespace
}  // namespace cairn::state_machine
