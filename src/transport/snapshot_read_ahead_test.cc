#include "transport/snapshot_read_ahead.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/crc32c.h"
#include "transport/transport_test_util.h"

namespace cairn::transport {
namespace {

TEST(SnapshotReadAhead, GivesAllChunksInOrderWithTheirSums) {
  PatternSource source(100, 10'500);
  SnapshotReadAhead ahead(&source, 500, 1000);
  SummedBytes chunk;
  uint64_t at = 500;
  for (; at < source.size_bytes(); at += chunk.bytes.size()) {
    ASSERT_TRUE(ahead.Next(&chunk).ok());
    ASSERT_EQ(chunk.bytes.size(), std::min<uint64_t>(1000, source.size_bytes() - at));
    EXPECT_EQ(chunk.crc, Crc32c(chunk.bytes));
    PatternSource same(100, 10'500);
    EXPECT_EQ(chunk.bytes, same.Read(at, chunk.bytes.size()).value());
  }
  EXPECT_EQ(source.first_read, 500u);
}

TEST(SnapshotReadAhead, ChunksBeforeAnErrorAreGiven) {
  PatternSource source(100, 5000);
  source.fail_at = 2500;
  SnapshotReadAhead ahead(&source, 0, 1000);
  SummedBytes chunk;
  EXPECT_TRUE(ahead.Next(&chunk).ok());
  EXPECT_TRUE(ahead.Next(&chunk).ok());
  EXPECT_EQ(ahead.Next(&chunk).code(), StatusCode::kUnavailable);
}

// A receiver may end the stream at any time.
TEST(SnapshotReadAhead, EndsWhenNobodyTakesTheNextChunk) {
  PatternSource source(100, 5000);
  {
    SnapshotReadAhead ahead(&source, 0, 1000);
    SummedBytes chunk;
    EXPECT_TRUE(ahead.Next(&chunk).ok());
  }
  EXPECT_LE(source.reads, 2u);
}

}  // namespace
}  // namespace cairn::transport
