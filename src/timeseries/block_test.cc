#include "timeseries/block.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <bit>
#include <cmath>
#include <limits>

#include "base/crc32c.h"
#include "base/rng.h"

namespace cairn::timeseries {
namespace {

BlockColumn Reals(std::vector<double> values) {
  BlockColumn column;
  column.reals = std::move(values);
  return column;
}

BlockColumn Integers(ColumnType type, std::vector<int64_t> values) {
  BlockColumn column;
  column.type = type;
  column.integers = std::move(values);
  return column;
}

Block EverySecond(size_t points) {
  Block block;
  for (size_t i = 0; i < points; ++i) {
    block.times.push_back(1'700'000'000'000 + static_cast<int64_t>(i) * 1000);
  }
  return block;
}

std::string Encode(const Block& block) {
  std::string bytes;
  const Status status = EncodeBlock(block, &bytes);
  EXPECT_TRUE(status.ok()) << status.ToString();
  return bytes;
}

std::string Hex(const std::string& bytes) {
  std::string hex;
  for (const char each : bytes) {
    constexpr char kDigits[] = "0123456789abcdef";
    hex += kDigits[static_cast<uint8_t>(each) >> 4];
    hex += kDigits[static_cast<uint8_t>(each) & 15];
  }
  return hex;
}

// Equal bit for bit.
bool Same(const Block& a, const Block& b) {
  if (a.unit != b.unit || a.times != b.times || a.columns.size() != b.columns.size()) return false;
  for (size_t c = 0; c < a.columns.size(); ++c) {
    const BlockColumn& x = a.columns[c];
    const BlockColumn& y = b.columns[c];
    if (x.type != y.type) return false;
    for (size_t i = 0; i < a.times.size(); ++i) {
      if (x.IsNull(i) != y.IsNull(i)) return false;
      if (x.IsNull(i)) continue;
      switch (x.type) {
        case ColumnType::kReal:
          if (std::bit_cast<uint64_t>(x.reals[i]) != std::bit_cast<uint64_t>(y.reals[i]))
            return false;
          break;
        case ColumnType::kText:
          if (x.texts[static_cast<size_t>(x.integers[i])] !=
              y.texts[static_cast<size_t>(y.integers[i])]) {
            return false;
          }
          break;
        default:
          if (x.integers[i] != y.integers[i]) return false;
      }
    }
  }
  return true;
}

void ExpectRoundTrip(const Block& block) {
  const std::string bytes = Encode(block);
  Block decoded;
  const Status status = DecodeCheckedBlock(bytes, &decoded);
  ASSERT_TRUE(status.ok()) << status.ToString();
  EXPECT_TRUE(Same(block, decoded));
  EXPECT_EQ(Encode(decoded), bytes);
}

Status Decode(const std::string& bytes) {
  Block block;
  return DecodeCheckedBlock(bytes, &block);
}

// With the right checksum, so that only the decoder itself can refuse the bytes.
std::string WithChecksum(std::string body) {
  const uint32_t crc = Crc32c(body);
  for (int i = 0; i < 4; ++i) body.push_back(static_cast<char>(crc >> (8 * i)));
  return body;
}

// ---- Bytes --------------------------------------------------------------------------------------

// A change of these bytes is a change of the format: members of different builds would differ.
TEST(Block, HasTheBytesThatTheSpecificationNames) {
  Block block = EverySecond(4);
  block.columns.push_back(Reals({21.5, 21.57, 21.49, 1.0 / 3}));
  block.columns.push_back(Integers(ColumnType::kBoolean, {1, 0, 0, 1}));
  block.columns.push_back(Integers(ColumnType::kText, {1, 1, 0, 0}));
  block.columns.back().texts = {"off", "on"};
  block.columns.back().present = {1, 1, 0, 1};
  block.columns.push_back(Integers(ColumnType::kInteger, {7, 7, 7, 7}));
  EXPECT_EQ(Hex(Encode(block)),
            "01000404010403020080a0abfef962d00f"        // head, types, times
            "130000020103555555555555d53f0104ca218100"  // REAL
            "050001010009"                              // BOOLEAN
            "0e010b02036f6666026f6e01010003"            // TEXT
            "0400000e00"                                // INTEGER
            "88e1c667");                                // checksum
}

TEST(Block, ATelemetryBlockHasAtMostThreeBytesAPoint) {
  Rng rng(7);
  Block block = EverySecond(1024);
  std::vector<double> values;
  double level = 2150;
  for (int i = 0; i < 1024; ++i) {
    level += static_cast<double>(rng.Below(41)) - 20;
    values.push_back(level / 100);
  }
  block.columns.push_back(Reals(values));
  const size_t bytes = Encode(block).size();
  EXPECT_LE(bytes, 1024U);  // of steps of up to 0.2, which take 6 bits
  std::vector<double> noise;
  noise.reserve(1024);
  for (int i = 0; i < 1024; ++i) noise.push_back(static_cast<double>(rng.Below(10'000)) / 100);
  block.columns[0] = Reals(noise);
  EXPECT_LE(Encode(block).size(), 2 * 1024U);  // of the whole range, which takes 14 bits
}

TEST(Block, WithoutChangeHasAFewBytes) {
  Block block = EverySecond(kPointsMax);
  block.columns.push_back(Reals(std::vector<double>(kPointsMax, 21.5)));
  EXPECT_LE(Encode(block).size(), 32U);
}

TEST(Block, AGapCostsAFewBytes) {
  Block regular = EverySecond(1024);
  Block gaps = regular;
  for (size_t i = 500; i < 1024; ++i) gaps.times[i] += 86'400'000;
  EXPECT_LE(Encode(gaps).size(), Encode(regular).size() + 40);
}

TEST(Block, FloatsOf32BitsHaveHalfTheBits) {
  Rng rng(3);
  Block block = EverySecond(1024);
  std::vector<double> values;
  for (int i = 0; i < 1024; ++i) {
    values.push_back(static_cast<float>(static_cast<double>(rng.Below(1 << 20)) / 7777.0));
  }
  block.columns.push_back(Reals(values));
  EXPECT_LE(Encode(block).size(), 1024 * 4U);
  ExpectRoundTrip(block);
}

// ---- Round trips --------------------------------------------------------------------------------

TEST(Block, NumbersOfEveryKindComeBackWithAllTheirBits) {
  const double least = std::numeric_limits<double>::denorm_min();
  const double most = std::numeric_limits<double>::max();
  const std::vector<double> values = {0.0,
                                      1.0,
                                      -1.0,
                                      0.1,
                                      0.2,
                                      0.3,
                                      0.1 + 0.2,
                                      1e22,
                                      1e23,
                                      1e-18,
                                      1e-19,
                                      least,
                                      -least,
                                      most,
                                      -most,
                                      0x1p51,
                                      0x1p52,
                                      0x1p53,
                                      1e300,
                                      M_PI,
                                      1.0 / 3,
                                      -0.5,
                                      123456789.123456789};
  Block block = EverySecond(values.size());
  block.columns.push_back(Reals(values));
  ExpectRoundTrip(block);
  for (const double value : values) {
    Block one = EverySecond(1);
    one.columns.push_back(Reals({value}));
    ExpectRoundTrip(one);
    Block many = EverySecond(300);
    many.columns.push_back(Reals(std::vector<double>(300, 21.5)));
    many.columns[0].reals[177] = value;
    ExpectRoundTrip(many);
  }
}

TEST(Block, IntegersOfEverySizeComeBack) {
  const std::vector<int64_t> values = {INT64_MIN, INT64_MAX, 0, -1, 1, INT64_MIN, 1LL << 57};
  Block block = EverySecond(values.size());
  block.columns.push_back(Integers(ColumnType::kInteger, values));
  ExpectRoundTrip(block);
}

// SQLite stores a whole real number as an integer, so a table gives 0.0 back too.
TEST(Block, NegativeZeroComesBackAsZero) {
  Block block = EverySecond(2);
  block.columns.push_back(Reals({-0.0, 1.5}));
  Block decoded;
  ASSERT_TRUE(DecodeCheckedBlock(Encode(block), &decoded).ok());
  EXPECT_FALSE(std::signbit(decoded.columns[0].reals[0]));
}

double AnyReal() {
  switch (*rc::gen::inRange(0, 4)) {
    case 0: return static_cast<double>(*rc::gen::inRange(-100'000, 100'000)) / 100;
    case 1: return static_cast<double>(*rc::gen::arbitrary<float>());
    case 2: return static_cast<double>(*rc::gen::arbitrary<int64_t>());
    default: return std::bit_cast<double>(*rc::gen::arbitrary<uint64_t>());
  }
}

// A sequence as sensors and counters make it, or of any numbers.
std::vector<int64_t> AnySequence(size_t points) {
  const auto bits = static_cast<unsigned>(*rc::gen::inRange(0, 65));
  const bool walks = *rc::gen::arbitrary<bool>();
  Rng rng(*rc::gen::arbitrary<uint64_t>());
  uint64_t sum = rng.Next();
  std::vector<int64_t> values;
  for (size_t i = 0; i < points; ++i) {
    uint64_t each = bits == 0 ? 0 : rng.Next() >> (64 - bits);
    if (rng.Below(50) == 0) each = rng.Next();
    sum += each;
    values.push_back(static_cast<int64_t>(walks ? sum : each));
  }
  return values;
}

BlockColumn AnyColumn(size_t points) {
  BlockColumn column;
  column.type = static_cast<ColumnType>(*rc::gen::inRange(1, 5));
  Rng rng(*rc::gen::arbitrary<uint64_t>());
  const double usual = AnyReal();
  const bool varied = *rc::gen::arbitrary<bool>();
  if (column.type == ColumnType::kInteger) column.integers = AnySequence(points);
  if (column.type == ColumnType::kText) column.texts = {"", "closed", "open"};
  for (size_t i = 0; i < points; ++i) {
    switch (column.type) {
      case ColumnType::kReal: {
        double value = varied ? static_cast<double>(rng.Below(5000)) / 1000 : usual;
        if (rng.Below(20) == 0) value = std::bit_cast<double>(rng.Next());
        column.reals.push_back(std::isfinite(value) ? value + 0.0 : 0.0);
        break;
      }
      case ColumnType::kInteger: break;
      case ColumnType::kText: column.integers.push_back(static_cast<int64_t>(rng.Below(3))); break;
      case ColumnType::kBoolean:
        column.integers.push_back(static_cast<int64_t>(rng.Below(2)));
        break;
    }
  }
  if (!*rc::gen::arbitrary<bool>()) return column;
  const uint64_t one_in = 1 + rng.Below(10);
  for (size_t i = 0; i < points; ++i) column.present.push_back(rng.Below(one_in) == 0 ? 1 : 0);
  for (size_t i = 0; i < points; ++i) {
    if (column.present[i] != 0) continue;
    if (column.type == ColumnType::kReal)
      column.reals[i] = 0;
    else
      column.integers[i] = 0;
  }
  return column;
}

Block AnyBlock() {
  Block block;
  block.unit = *rc::gen::arbitrary<bool>() ? TimeUnit::kMicroseconds : TimeUnit::kMilliseconds;
  const auto points = static_cast<size_t>(*rc::gen::inRange(1, 600));
  int64_t time = RangeOf(block.unit).first;
  const int64_t step = *rc::gen::inRange(1, 100'000);
  const int jitter = *rc::gen::inRange(1, 1000);
  for (size_t i = 0; i < points; ++i) {
    block.times.push_back(time);
    time += step + (jitter < 500 ? 0 : *rc::gen::inRange(0, jitter));
  }
  const int columns = *rc::gen::inRange(0, 5);
  for (int i = 0; i < columns; ++i) block.columns.push_back(AnyColumn(points));
  return block;
}

TEST(Block, AnyBlockComesBackAsItWas) {
  EXPECT_TRUE(rc::check([] { ExpectRoundTrip(AnyBlock()); }));
}

TEST(Block, EveryWidthOfIntegersComesBack) {
  for (unsigned width = 1; width <= 64; ++width) {
    for (const size_t points : {1, 2, 3, 7, 8, 9, 127, 128, 129, 130, 300}) {
      Rng rng(width * 1000 + points);
      std::vector<int64_t> values;
      for (size_t i = 0; i < points; ++i) {
        values.push_back(static_cast<int64_t>(rng.Next() >> (64 - width)));
      }
      Block block = EverySecond(points);
      block.columns.push_back(Integers(ColumnType::kInteger, values));
      ExpectRoundTrip(block);
    }
  }
}

TEST(Block, GivesTheColumnsThatAreAskedFor) {
  Block block = EverySecond(3);
  block.columns.push_back(Reals({1.5, 2.5, 3.5}));
  block.columns.push_back(Integers(ColumnType::kInteger, {4, 5, 6}));
  Block decoded;
  ASSERT_TRUE(DecodeBlock(Encode(block), 0b10, &decoded).ok());
  EXPECT_EQ(decoded.times, block.times);
  EXPECT_TRUE(decoded.columns[0].reals.empty());
  EXPECT_EQ(decoded.columns[1].integers, block.columns[1].integers);
}

// ---- Refusals -----------------------------------------------------------------------------------

TEST(Block, RefusesWhatNoTableCouldHold) {
  std::string unused;
  for (const double value : {std::nan(""), HUGE_VAL, -HUGE_VAL}) {
    Block block = EverySecond(1);
    block.columns.push_back(Reals({value}));
    EXPECT_EQ(EncodeBlock(block, &unused).message(), "a time series holds no NaN and no infinity");
  }
  Block block;
  EXPECT_FALSE(EncodeBlock(block, &unused).ok());  // no points
  block.times = {5, 5};
  EXPECT_EQ(EncodeBlock(block, &unused).message(),
            "the times of a block must be strictly ascending");
  block.times = {INT64_MAX};
  EXPECT_EQ(EncodeBlock(block, &unused).message(),
            "the time 9223372036854775807 is out of range: times are in milliseconds since 1970, "
            "from -62167219200000 to 253402300799999 (the years 0000 to 9999)");
  block.times = {1};
  block.columns.push_back(Integers(ColumnType::kText, {0}));
  block.columns[0].texts = {std::string(256, 'x')};
  EXPECT_EQ(EncodeBlock(block, &unused).message(),
            "a text of a time series has at most 255 bytes; this one has 256");
  EXPECT_TRUE(unused.empty());
}

TEST(Block, AnyCutOrChangedByteIsRefused) {
  Block block = EverySecond(200);
  std::vector<double> values;
  for (int i = 0; i < 200; ++i) values.push_back(i * i / 100.0);
  values[100] = M_PI;
  block.columns.push_back(Reals(values));
  const std::string bytes = Encode(block);
  for (size_t i = 0; i < bytes.size(); ++i) {
    EXPECT_FALSE(Decode(bytes.substr(0, i)).ok());
    std::string changed = bytes;
    changed[i] = static_cast<char>(changed[i] ^ 0x10);
    EXPECT_FALSE(Decode(changed).ok());
  }
  EXPECT_FALSE(Decode(bytes + '\0').ok());
  EXPECT_EQ(Decode("").message(), "malformed block of a time series: its head");
}

// Behind a right checksum: whatever is accepted can be encoded, so it could have been written point
// by point.
TEST(Block, WhatTheDecoderAcceptsCanBeStored) {
  Rng rng(11);
  for (int round = 0; round < 20'000; ++round) {
    Block block = EverySecond(1 + rng.Below(20));
    const size_t points = block.times.size();
    block.columns.push_back(Reals(std::vector<double>(points, 1.0 / 3)));
    block.columns.push_back(Integers(ColumnType::kText, std::vector<int64_t>(points, 0)));
    block.columns[0].reals[rng.Below(points)] = 2.5;
    block.columns[1].texts = {"a"};
    std::string bytes = Encode(block);
    bytes.resize(bytes.size() - 4);
    for (uint64_t changes = 1 + rng.Below(4); changes > 0; --changes) {
      bytes[rng.Below(bytes.size())] = static_cast<char>(rng.Next());
    }
    Block decoded;
    if (!DecodeCheckedBlock(WithChecksum(bytes), &decoded).ok()) continue;
    std::string again;
    ASSERT_TRUE(EncodeBlock(decoded, &again).ok());
    Block twice;
    ASSERT_TRUE(DecodeCheckedBlock(again, &twice).ok());
    ASSERT_TRUE(Same(decoded, twice));
  }
}

TEST(Block, AHeadThatAsksForMuchMemoryIsRefused) {
  // 2^62 points.
  EXPECT_FALSE(Decode(WithChecksum({1, 0, '\x80', '\x80', '\x80', '\x80', '\x80', '\x80', '\x80',
                                    '\x80', '\x40', 0}))
                   .ok());
  EXPECT_EQ(Decode(WithChecksum({9, 0, 1, 0})).message(),
            "malformed block of a time series: version 9 is not known");
}

}  // namespace
}  // namespace cairn::timeseries
