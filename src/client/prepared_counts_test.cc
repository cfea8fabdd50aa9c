#include "client/prepared_counts.h"

#include <gtest/gtest.h>

namespace cairn::client {
namespace {

TEST(PreparedCounts, NumberTheStatementsThatWerePrepared) {
  PreparedCounts counts;
  EXPECT_EQ(counts.CountOf("a"), 0u);
  EXPECT_EQ(counts.NextOf("a"), 1u);
  // Its outcome is unknown: sent again, it carries the same number.
  EXPECT_EQ(counts.NextOf("a"), 1u);
  counts.Note("a", 1);
  EXPECT_EQ(counts.NextOf("a"), 2u);
  EXPECT_EQ(counts.NextOf("b"), 1u);
  EXPECT_EQ(counts.CountOf("a"), 1u);
  counts.Forget("a");
  EXPECT_EQ(counts.CountOf("a"), 0u);
}

TEST(PreparedCounts, AreBounded) {
  PreparedCounts counts;
  for (size_t i = 0; i < PreparedCounts::kTransactionsMax; ++i) {
    counts.Note(std::to_string(i), counts.NextOf(std::to_string(i)));
  }
  EXPECT_EQ(counts.NextOf("one more"), 0u);
  counts.Note("one more", 0);
  EXPECT_EQ(counts.CountOf("one more"), 0u);
  EXPECT_EQ(counts.NextOf("7"), 2u);
}

}  // namespace
}  // namespace cairn::client
