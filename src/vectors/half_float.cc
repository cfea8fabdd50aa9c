#include "vectors/half_float.h"

#include <bit>

namespace cairn::vectors {
namespace {

constexpr int kFloatBias = 127;
constexpr int kHalfBias = 15;
constexpr int kDroppedBits = 23 - 10;  // of the fraction

}  // namespace

float FloatFromHalf(uint16_t half) {
  const uint32_t sign = (half & 0x8000u) << 16;
  const uint32_t exponent = (half >> 10) & 0x1f;
  uint32_t fraction = half & 0x3ff;
  if (exponent == 0x1f) {
    return std::bit_cast<float>(sign | 0x7f800000u | (fraction << kDroppedBits));
  }
  if (exponent != 0) {
    return std::bit_cast<float>(sign | ((exponent + kFloatBias - kHalfBias) << 23) |
                                (fraction << kDroppedBits));
  }
  // Zero, or a subnormal number: fraction * 2^-24, which a float holds exactly.
  const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(magnitude));
}

uint16_t HalfFromFloat(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000);
  int exponent = static_cast<int>((bits >> 23) & 0xff) - kFloatBias;
  uint32_t fraction = bits & 0x7fffff;
  const uint16_t infinity = sign | 0x7c00;
  if (exponent == 128 && fraction != 0) return sign | 0x7e00;
  if (exponent >= 16) return infinity;
  if (exponent < -25) return sign;
  if (exponent < -14) {
    // Subnormal: the leading one becomes part of the fraction.
    const int shift = -14 - exponent;
    const uint32_t whole = fraction | 0x800000;
    // A bit that falls out still tells that the value is above the tie.
    const bool more = (whole & ((1u << shift) - 1)) != 0;
    fraction = whole >> shift | (more ? 1 : 0);
    exponent = -15;
  }
  const uint32_t half_even = 0x1000 - ((fraction >> kDroppedBits) & 1);
  if ((fraction & 0x1fff) > half_even) fraction += 0x2000;
  // A fraction that was rounded up to the next power of two carries into the exponent.
  const uint32_t rounded =
      (static_cast<uint32_t>(exponent + kHalfBias) << 10) + (fraction >> kDroppedBits);
  return static_cast<uint16_t>(sign | rounded);
}

float FloatFromBrain(uint16_t brain) {
  return std::bit_cast<float>(static_cast<uint32_t>(brain) << 16);
}

uint16_t BrainFromFloat(float value) {
  return static_cast<uint16_t>(std::bit_cast<uint32_t>(value) >> 16);
}

}  // namespace cairn::vectors
