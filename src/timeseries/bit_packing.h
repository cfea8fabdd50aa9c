// Numbers of up to 64 bits side by side, without gaps, lowest bit first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/bytes.h"

namespace cairn::timeseries {

constexpr size_t PackedBytes(size_t numbers, unsigned width) { return (numbers * width + 7) / 8; }

// Each number fits `width` bits, at most 64.
void Pack(std::span<const uint64_t> numbers, unsigned width, ByteWriter* out);
// False: too few bytes, or a bit behind the last number is set.
bool Unpack(ByteReader* in, unsigned width, std::span<uint64_t> numbers);

}  // namespace cairn::timeseries
