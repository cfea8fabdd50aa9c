// Real numbers as integers. Measurements are mostly decimals with few places: 21.57 is 2157 / 10^2.
// Division rounds correctly, so a number that is the nearest to such a fraction comes back with all
// its bits. The few that are no such fraction are kept beside. A column of other numbers is kept as
// the bits of the numbers, without the zeros in which all end (those of 32-bit floats).
#pragma once

#include <span>

#include "base/bytes.h"

namespace cairn::timeseries {

// `values` is not empty, and its numbers are finite.
void WriteReals(std::span<const double> values, ByteWriter* out);
// Reads as many numbers as `values` has places, at least one. False: malformed, or a number that is
// not finite or is -0.0.
bool ReadReals(ByteReader* in, std::span<double> values);

}  // namespace cairn::timeseries
