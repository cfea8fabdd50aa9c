#include "vectors/vector.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "vectors/half_float.h"

namespace cairn::vectors {
namespace {

std::string Hex(std::string_view bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    hex += kDigits[byte >> 4];
    hex += kDigits[byte & 0xf];
  }
  return hex;
}

std::string EncodedText(std::string_view text, Kind kind) {
  const auto elements = ParseText(text, kind);
  EXPECT_TRUE(elements.ok()) << elements.status();
  const auto blob = Encode(*elements, kind);
  EXPECT_TRUE(blob.ok()) << blob.status();
  return blob.ok() ? *blob : "";
}

std::string Extracted(std::string_view blob) {
  const auto view = ViewOf(blob);
  return view.ok() ? TextOf(ElementsOf(*view)) : view.status().message();
}

// ---- The bytes of libSQL ------------------------------------------------------------------------

TEST(VectorTest, HasTheBytesOfLibsql) {
  EXPECT_EQ(Hex(EncodedText("[1, 2.5]", Kind::kFloat32)), "0000803f00002040");
  EXPECT_EQ(Hex(EncodedText("[]", Kind::kFloat32)), "");
  EXPECT_EQ(Hex(EncodedText("[1]", Kind::kFloat64)), "000000000000f03f02");
  EXPECT_EQ(Hex(EncodedText("[1, -2]", Kind::kFloat16)), "003c00c005");
  EXPECT_EQ(Hex(EncodedText("[1, -2]", Kind::kFloatB16)), "803f00c006");
  // Two bits, the number of unused bits of two bytes, the kind.
  EXPECT_EQ(Hex(EncodedText("[1, -1]", Kind::kFloat1Bit)), "010e03");
  // Nine bits take two bytes, and a byte makes the whole odd.
  EXPECT_EQ(Hex(EncodedText("[1,0,1,0,0,0,0,0,1]", Kind::kFloat1Bit)), "0501001703");
  // Elements up to a multiple of four, alpha, shift, zero, the number of unused bytes, the kind.
  EXPECT_EQ(Hex(EncodedText("[0, 255, 100]", Kind::kFloat8)),
            "00ff6400"
            "0000803f"
            "00000000"
            "00"
            "01"
            "04");
}

TEST(VectorTest, ReadsItsOwnBytes) {
  for (const Kind kind : {Kind::kFloat32, Kind::kFloat64, Kind::kFloat16, Kind::kFloatB16}) {
    EXPECT_EQ(Extracted(EncodedText("[1,-2.5,0,1024]", kind)), "[1,-2.5,0,1024]") << NameOf(kind);
  }
  EXPECT_EQ(Extracted(EncodedText("[3,-2.5,0]", Kind::kFloat1Bit)), "[1,-1,-1]");
  EXPECT_EQ(Extracted(EncodedText("[0,255,100]", Kind::kFloat8)), "[0,255,100]");
  EXPECT_EQ(Extracted(EncodedText("[7,7]", Kind::kFloat8)), "[7,7]");
}

TEST(VectorTest, TakesA32BitVectorThatTellsItsKind) {
  EXPECT_EQ(Extracted(std::string("\x00\x00\x80\x3f\x01", 5)), "[1]");
}

// Any number of dimensions of any kind: what was encoded is read back, and encoded again the same.
TEST(VectorTest, EncodingIsStable) {
  std::mt19937_64 random(1);
  std::uniform_real_distribution<float> value(-100, 100);
  for (size_t n = 0; n < 70; ++n) {
    std::vector<float> floats(n);
    for (float& each : floats) each = value(random);
    for (int k = 1; k <= 6; ++k) {
      const Kind kind = static_cast<Kind>(k);
      const auto blob = Encode(floats, kind);
      ASSERT_TRUE(blob.ok());
      const auto view = ViewOf(*blob);
      ASSERT_TRUE(view.ok()) << NameOf(kind) << " " << n << ": " << view.status();
      EXPECT_EQ(view->kind, n == 0 && kind == Kind::kFloat32 ? Kind::kFloat32 : kind);
      EXPECT_EQ(view->dimensions, n);
      EXPECT_TRUE(CheckFinite(*view).ok());
      if (kind != Kind::kFloat8) {
        EXPECT_EQ(*Encode(ElementsOf(*view), kind), *blob);
        continue;
      }
      const auto read = std::get<std::vector<float>>(ElementsOf(*view));
      for (size_t i = 0; i < n; ++i) EXPECT_NEAR(read[i], floats[i], 200.0f / 255) << i;
    }
  }
}

// ---- What is refused ----------------------------------------------------------------------------

TEST(VectorTest, RefusesBlobsThatAreNoVector) {
  for (const std::string_view blob :
       {std::string_view("ab"), std::string_view("\x09", 1),
        std::string_view("abc\x02", 4).substr(1), std::string_view("\x03", 1),
        std::string_view("\x00\x00\x03", 3), std::string_view("\x04\x0e\x03", 3),
        std::string_view("\x00\x20\x03", 3), std::string_view("\x00\x04\x04", 3),
        std::string_view("\x00\x00\x00\x05", 4).substr(0, 3)}) {
    const auto view = ViewOf(blob);
    ASSERT_FALSE(view.ok()) << Hex(blob);
    EXPECT_EQ(view.status().code(), StatusCode::kInvalidArgument);
    EXPECT_NE(view.status().message().find("make vectors with vector32()"), std::string::npos);
  }
  EXPECT_NE(ViewOf(std::string(4 * 65'537, 'x')).status().message().find("at most 65536"),
            std::string::npos);
  EXPECT_TRUE(ViewOf(std::string(4 * 65'536, 'x')).ok());
}

TEST(VectorTest, RefusesTextsThatAreNoVector) {
  for (const std::string_view text :
       {"",      "1",      "[",     "[1",    "[1,",    "[1,]",       "[,1]",   "[1]2",
        "[1 2]", "[1;2]",  "[nan]", "[inf]", "[-inf]", "[Infinity]", "[--1]",  "[+-1]",
        "[1e]",  "[0x10]", "[[1]]", "['1']", "[null]", "[1e999]",    "[1e39]", "{\"a\":1}"}) {
    const auto elements = ParseText(text, Kind::kFloat32);
    EXPECT_FALSE(elements.ok()) << text;
    EXPECT_EQ(elements.status().code(), StatusCode::kInvalidArgument);
  }
  EXPECT_FALSE(ParseText("[1e309]", Kind::kFloat64).ok());
  EXPECT_FALSE(ParseText("[" + std::string(400, '9') + "]", Kind::kFloat64).ok());
  std::string many = "[0";
  for (size_t i = 1; i < kDimensionsMax; ++i) many += ",0";
  EXPECT_TRUE(ParseText(many + "]", Kind::kFloat32).ok());
  EXPECT_FALSE(ParseText(many + ",0]", Kind::kFloat32).ok());
}

TEST(VectorTest, TakesTheTextsThatLibsqlTakes) {
  const auto text = [](std::string_view from) {
    const auto elements = ParseText(from, Kind::kFloat64);
    return elements.ok() ? TextOf(*elements) : elements.status().message();
  };
  EXPECT_EQ(text(" [ 1 , +2,\t.5,5.,-1e-2 ]\n"), "[1,2,0.5,5,-0.01]");
  EXPECT_EQ(text("[]"), "[]");
  EXPECT_EQ(text("[ ]"), "[]");
  EXPECT_EQ(text("[1e-999,-0.0]"), "[0,-0]");
  EXPECT_EQ(text("[0." + std::string(400, '0') + "1]"), "[0]");
  EXPECT_EQ(TextOf(*ParseText("[0.1,16777217]", Kind::kFloat32)), "[0.1,16777216]");
}

TEST(VectorTest, RefusesElementsThatAKindCannotHold) {
  EXPECT_FALSE(Encode(std::vector<double>{1e300}, Kind::kFloat32).ok());
  EXPECT_FALSE(Encode(std::vector<float>{65'520}, Kind::kFloat16).ok());
  EXPECT_TRUE(Encode(std::vector<float>{65'519}, Kind::kFloat16).ok());
  EXPECT_FALSE(Encode(std::vector<float>{-3e38f, 3e38f}, Kind::kFloat8).ok());
  for (int k = 1; k <= 6; ++k) {
    EXPECT_FALSE(Encode(std::vector<float>{1, NAN}, static_cast<Kind>(k)).ok());
    EXPECT_FALSE(Encode(std::vector<double>{INFINITY}, static_cast<Kind>(k)).ok());
  }
  const std::string nan("\x00\x00\xc0\x7f", 4);
  EXPECT_FALSE(CheckFinite(*ViewOf(nan)).ok());
}

// ---- 16-bit floats ------------------------------------------------------------------------------

TEST(HalfFloatTest, EveryHalfIsReadAndWrittenTheSame) {
  for (uint32_t half = 0; half <= 0xffff; ++half) {
    const float value = FloatFromHalf(static_cast<uint16_t>(half));
    if (std::isnan(value)) continue;
    EXPECT_EQ(HalfFromFloat(value), half);
  }
}

TEST(HalfFloatTest, RoundsToTheNearest) {
  std::mt19937_64 random(2);
  for (int i = 0; i < 100'000; ++i) {
    const auto low = static_cast<uint16_t>(0x0400 + random() % (0x7bff - 0x0400));
    const float a = FloatFromHalf(low);
    const float b = FloatFromHalf(static_cast<uint16_t>(low + 1));
    const float value = a + (b - a) * static_cast<float>(random() % 1000) / 1000;
    const float middle = a + (b - a) / 2;
    const uint16_t even = low % 2 == 0 ? low : static_cast<uint16_t>(low + 1);
    const uint16_t expected = value < middle   ? low
                              : value > middle ? static_cast<uint16_t>(low + 1)
                                               : even;
    ASSERT_EQ(HalfFromFloat(value), expected) << value;
    ASSERT_EQ(HalfFromFloat(-value), expected | 0x8000) << value;
  }
  EXPECT_EQ(HalfFromFloat(65'504), 0x7bff);
  EXPECT_EQ(HalfFromFloat(65'520), 0x7c00);
  EXPECT_EQ(HalfFromFloat(0x1p-24f), 1);
  EXPECT_EQ(HalfFromFloat(0x1p-26f), 0);
}

TEST(HalfFloatTest, RoundsSubnormalNumbersByAllTheirBits) {
  EXPECT_EQ(HalfFromFloat(0x1p-25f), 0);  // a tie
  EXPECT_EQ(HalfFromFloat(0x1p-25f + 0x1p-40f), 1);
  EXPECT_EQ(HalfFromFloat(0x1p-25f + 0x1p-48f), 1);
  EXPECT_EQ(HalfFromFloat(-0x1p-25f - 0x1p-40f), 0x8001);
  EXPECT_EQ(HalfFromFloat(0x1.8p-24f), 2);  // a tie
  EXPECT_EQ(HalfFromFloat(0x1.4p-23f), 2);  // a tie
  EXPECT_EQ(HalfFromFloat(0x1.4p-23f + 0x1p-46f), 3);
  for (uint16_t low = 0; low < 0x400; ++low) {
    const float middle = (static_cast<float>(low) + 0.5f) * 0x1p-24f;
    const auto high = static_cast<uint16_t>(low + 1);
    ASSERT_EQ(HalfFromFloat(middle), low % 2 == 0 ? low : high);
    ASSERT_EQ(HalfFromFloat(std::nextafter(middle, 1.0f)), high);
    ASSERT_EQ(HalfFromFloat(std::nextafter(middle, 0.0f)), low);
  }
}

}  // namespace
}  // namespace cairn::vectors
