// Distances of two vectors, the same to the last bit on every node and processor.
//
// Elements become doubles. Product i goes into sum i % 16 of 16 sums, in the order of i; then the
// sums are added in halves: s[j] + s[j + 8], of these s[j] + s[j + 4], and so on. Every processor
// adds in this order, whatever its vector registers can hold. A product and a sum are two roundings
// (-ffp-contract=off). Of the mathematical library only sqrt() is used, which IEEE 754 defines to
// the last bit.
#pragma once

#include <cstdint>
#include <optional>

#include "base/result.h"
#include "vectors/vector.h"

namespace cairn::vectors {

enum class Metric : uint8_t { kCosine, kL2 };

// Of two vectors of the same kind and the same number of dimensions.
//
// kCosine: 1 - the cosine of the angle, in [0, 2]; none if all elements of a vector are zero. Of bits:
// the number that differ.
// kL2: the Euclidean distance. INVALID_ARGUMENT for bits.
//
// INVALID_ARGUMENT if an element is infinite or not a number, or if the sums exceed a double.
Result<std::optional<double>> Distance(Metric metric, const View& a, const View& b);

}  // namespace cairn::vectors
