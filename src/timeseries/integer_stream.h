// Sequences of 64-bit integers as bits: the one coding that times, integers, decimals, the bits of
// real numbers, places of texts and booleans are all reduced to.
//
// A stream is a line (first value and step), or the values, their differences, or the differences of
// those. These are cut into groups of 128. A group has the width in bits that makes the group
// smallest: each number less the group's least is packed in that width, and the high bits of the few
// that are wider follow by themselves. All sums are modulo 2^64, so any sequence can be encoded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/bytes.h"

namespace cairn::timeseries {

inline constexpr size_t kGroupMax = 128;

constexpr uint64_t ZigZag(int64_t v) {
  return (static_cast<uint64_t>(v) << 1) ^ static_cast<uint64_t>(v >> 63);
}
constexpr int64_t UnZigZag(uint64_t v) { return static_cast<int64_t>((v >> 1) ^ (0 - (v & 1))); }

// `values` is not empty.
void WriteIntegers(std::span<const int64_t> values, ByteWriter* out);
// Reads as many integers as `values` has places, at least one. False: malformed.
bool ReadIntegers(ByteReader* in, std::span<int64_t> values);

}  // namespace cairn::timeseries
