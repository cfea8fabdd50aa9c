#include "base/bytes.h"

#include <gtest/gtest.h>

#include "base/crc32c.h"
#include "base/rng.h"

namespace cairn {
namespace {

TEST(Bytes, WhatIsWrittenIsRead) {
  std::string bytes;
  ByteWriter w(&bytes);
  w.U8(1);
  w.U16(0x0203);
  w.U32(0xdeadbeef);
  w.U64(~0ULL);
  w.I64(-5);
  w.F64(-0.5);
  for (uint64_t v : {0ULL, 127ULL, 128ULL, 1ULL << 63, ~0ULL}) w.Varint(v);
  w.String(std::string("a\0b", 3));
  ByteReader r(bytes);
  EXPECT_EQ(r.U8(), 1);
  EXPECT_EQ(r.U16(), 0x0203);
  EXPECT_EQ(r.U32(), 0xdeadbeef);
  EXPECT_EQ(r.U64(), ~0ULL);
  EXPECT_EQ(r.I64(), -5);
  EXPECT_EQ(r.F64(), -0.5);
  for (uint64_t v : {0ULL, 127ULL, 128ULL, 1ULL << 63, ~0ULL}) EXPECT_EQ(r.Varint(), v);
  EXPECT_EQ(r.String(), std::string_view("a\0b", 3));
  EXPECT_TRUE(r.done());
}

TEST(Bytes, ReadingPastTheEndFailsForGood) {
  std::string bytes("\x05hi", 3);  // claims five bytes but holds two
  ByteReader r(bytes);
  EXPECT_EQ(r.String(), "");
  EXPECT_FALSE(r.ok());
  EXPECT_EQ(r.U8(), 0);
  EXPECT_FALSE(r.done());
}

TEST(Bytes, AnOverlongVarintIsRefused) {
  std::string bytes(9, '\xff');
  bytes.push_back('\x02');  // bit 64
  ByteReader r(bytes);
  r.Varint();
  EXPECT_FALSE(r.ok());
}

TEST(Crc32c, KnownAnswerAndChaining) {
  EXPECT_EQ(Crc32c("123456789"), 0xe3069283U);
  EXPECT_EQ(Crc32c("456789", Crc32c("123")), 0xe3069283U);
}

TEST(Rng, ASeedGivesOneSequence) {
  Rng a(7), b(7), c(8);
  EXPECT_EQ(a.Next(), b.Next());
  EXPECT_NE(a.Next(), c.Next());
  for (int i = 0; i < 1000; ++i) {
    const uint64_t v = a.Between(3, 5);
    EXPECT_GE(v, 3U);
    EXPECT_LE(v, 5U);
  }
}

}  // namespace
}  // namespace cairn
