#include "timeseries/real_column.h"

#include <algorithm>
#include <array>
#include <bit>
#include <string>
#include <vector>

#include "timeseries/block.h"
#include "timeseries/integer_stream.h"

namespace cairn::timeseries {
namespace {

enum Kind : uint8_t { kDecimals = 0, kBits = 1 };

// Powers of ten up to 10^22 are exact.
constexpr std::array<double, 19> kPowersOfTen = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,
                                                 1e7,  1e8,  1e9,  1e10, 1e11, 1e12, 1e13,
                                                 1e14, 1e15, 1e16, 1e17, 1e18};
constexpr unsigned kScales = kPowersOfTen.size();
constexpr double kDecimalsEnd = 0x1p51;
// Adding this number and taking it away again rounds what is below kDecimalsEnd to an integer.
constexpr double kRounder = 0x1.8p52;
// What a number beside the decimals costs: 8 bytes, and its place.
constexpr double kBitsBeside = 76;
constexpr double kBitsOfAPlace = 3.33;  // of a decimal

constexpr uint64_t kSign = uint64_t{1} << 63;
constexpr uint64_t kMagnitudeMax = 0x7fefffffffffffff;  // of a finite number

// The numerator of `value` over 10^scale. False: it is no such fraction.
bool AsDecimal(double value, unsigned scale, int64_t* numerator) {
  const double scaled = value * kPowersOfTen[scale];
  if (!(scaled < kDecimalsEnd && scaled > -kDecimalsEnd)) return false;
  const double rounded = (scaled + kRounder) - kRounder;
  if (rounded / kPowersOfTen[scale] != value) return false;
  *numerator = static_cast<int64_t>(rounded);
  return true;
}

// The least scale of which the value is a fraction, or kScales.
unsigned LeastScale(double value, unsigned first) {
  int64_t unused;
  for (unsigned scale = first; scale < kScales; ++scale) {
    if (AsDecimal(value, scale, &unused)) return scale;
  }
  return kScales;
}

// The scale that makes the column smallest, as far as can be told before it is encoded.
unsigned BestScale(std::span<const double> values) {
  std::array<size_t, kScales + 1> counts = {};
  for (const double value : values) ++counts[LeastScale(value, 0)];
  unsigned best = 0;
  double least = 0;
  size_t fit = 0;
  for (unsigned scale = 0; scale < kScales; ++scale) {
    fit += counts[scale];
    const double bits = static_cast<double>(values.size() - fit) * kBitsBeside +
                        static_cast<double>(values.size()) * scale * kBitsOfAPlace;
    if (scale > 0 && bits >= least) continue;
    best = scale;
    least = bits;
  }
  return best;
}

// The order of numbers is that of these integers, and zeros at the end of the bits stay there.
int64_t OrderedBits(double value) {
  const auto bits = std::bit_cast<uint64_t>(value);
  const auto magnitude = static_cast<int64_t>(bits & ~kSign);
  return (bits & kSign) != 0 ? -magnitude : magnitude;
}

// A group of numbers beside the decimals: places, then bits.
void WriteBeside(std::span<const double> values, const std::vector<size_t>& places,
                 ByteWriter* out) {
  out->Varint(places.size());
  size_t next = 0;
  for (const size_t place : places) {
    out->Varint(place - next);
    next = place + 1;
  }
  for (const size_t place : places) out->U64(std::bit_cast<uint64_t>(values[place]));
}

void WriteDecimals(std::span<const double> values, ByteWriter* out) {
  const unsigned scale = BestScale(values);
  std::vector<int64_t> numerators(values.size());
  std::vector<size_t> beside;
  for (size_t i = 0; i < values.size(); ++i) {
    if (AsDecimal(values[i], scale, &numerators[i])) continue;
    beside.push_back(i);
    numerators[i] = i == 0 ? 0 : numerators[i - 1];
  }
  out->U8(kDecimals);
  out->U8(static_cast<uint8_t>(scale));
  WriteBeside(values, beside, out);
  WriteIntegers(numerators, out);
}

void WriteBits(std::span<const double> values, ByteWriter* out) {
  uint64_t all = 0;
  for (const double value : values) all |= std::bit_cast<uint64_t>(value);
  all &= ~kSign;
  const unsigned shift = all == 0 ? 0 : static_cast<unsigned>(std::countr_zero(all));
  std::vector<int64_t> bits(values.size());
  for (size_t i = 0; i < values.size(); ++i) bits[i] = OrderedBits(values[i]) >> shift;
  out->U8(kBits);
  out->U8(static_cast<uint8_t>(shift));
  WriteIntegers(bits, out);
}

bool IsStorable(uint64_t bits) { return (bits & ~kSign) <= kMagnitudeMax && bits != kSign; }

bool ReadDecimals(ByteReader* in, std::span<double> values, std::span<int64_t> integers) {
  const uint8_t scale = in->U8();
  const uint64_t beside = in->Varint();
  if (!in->ok() || scale >= kScales || beside > values.size()) return false;
  std::vector<size_t> places(beside);
  uint64_t next = 0;
  for (size_t& place : places) {
    const uint64_t gap = in->Varint();
    if (gap >= values.size() - next) return false;
    place = next + gap;
    next = place + 1;
  }
  ByteReader bits(in->Raw(beside * sizeof(uint64_t)));
  if (!in->ok() || !ReadIntegers(in, integers)) return false;
  const double divisor = kPowersOfTen[scale];
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<double>(integers[i]) / divisor;
  }
  for (const size_t place : places) {
    const uint64_t each = bits.U64();
    if (!IsStorable(each)) return false;
    values[place] = std::bit_cast<double>(each);
  }
  return true;
}

bool ReadBits(ByteReader* in, std::span<double> values, std::span<int64_t> integers) {
  const uint8_t shift = in->U8();
  if (!in->ok() || shift > 62 || !ReadIntegers(in, integers)) return false;
  const auto most = static_cast<int64_t>(kMagnitudeMax >> shift);
  bool fits = true;
  for (size_t i = 0; i < values.size(); ++i) {
    fits &= integers[i] <= most && integers[i] >= -most;
    const auto negative = static_cast<uint64_t>(integers[i] >> 63);  // all ones, or zero
    const uint64_t magnitude = (static_cast<uint64_t>(integers[i]) ^ negative) - negative;
    values[i] = std::bit_cast<double>(magnitude << shift | (negative & kSign));
  }
  return fits;
}

}  // namespace

void WriteReals(std::span<const double> values, ByteWriter* out) {
  std::string decimals;
  std::string bits;
  ByteWriter decimals_writer(&decimals);
  WriteDecimals(values, &decimals_writer);
  // Decimals of up to some 50 bits are smaller than any other number: no need to look.
  constexpr size_t kSurelyBestBytesPerValue = 3;
  if (decimals.size() > values.size() * kSurelyBestBytesPerValue) {
    ByteWriter bits_writer(&bits);
    WriteBits(values, &bits_writer);
    if (bits.size() < decimals.size()) decimals = std::move(bits);
  }
  out->Raw(decimals);
}

bool ReadReals(ByteReader* in, std::span<double> values) {
  std::array<int64_t, kPointsMax> space;
  const std::span<int64_t> integers(space.data(), values.size());
  switch (in->U8()) {
    case kDecimals: return ReadDecimals(in, values, integers);
    case kBits: return ReadBits(in, values, integers);
    default: return false;
  }
}

}  // namespace cairn::timeseries
