#include "base/bytes.h"

#include <gtest/gtest.h>

#include "base/crc32c.h"
#include "base/crc32c_join.h"
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

// Long pieces are summed in blocks side by side.
TEST(Crc32c, ALongPieceHasTheSumOfItsBytes) {
  std::string data(10'000, '\0');
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<char>(i * i % 251);
  for (const size_t size : {1023u, 3071u, 3072u, 3073u, 6144u, 9999u, 10'000u}) {
    const std::string_view piece = std::string_view(data).substr(1, size);
    uint32_t by_bytes = 7;
    for (const char c : piece) by_bytes = Crc32c(std::string_view(&c, 1), by_bytes);
    EXPECT_EQ(Crc32c(piece, 7), by_bytes) << size;
  }
}

TEST(Crc32c, TheSumsOfTwoPiecesGiveTheSumOfBoth) {
  std::string both;
  for (int i = 0; i < 5000; ++i) both.push_back(static_cast<char>(i * 31 + i / 251));
  for (const size_t cut : {0, 1, 7, 1024, 4096, 4999, 5000}) {
    const std::string_view a = std::string_view(both).substr(0, cut);
    const std::string_view b = std::string_view(both).substr(cut);
    EXPECT_EQ(JoinCrc32c(Crc32c(a), Crc32c(b), b.size()), Crc32c(both)) << cut;
  }
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
