// The distance by which a graph orders its vectors (graph.h). It decides which rows are looked at, and
// never what a query answers: it is quick, and not the same to the last bit on every processor.
#pragma once

#include <cstddef>
#include <limits>
#include <optional>
#include <vector>

#include "vectors/distance.h"
#include "vectors/vector.h"

namespace cairn::vectors {

// The elements of a vector in a graph are padded with zeros to a multiple of this number.
inline constexpr size_t kGraphLanes = 16;
inline constexpr size_t PaddedDimensions(size_t dimensions) {
  return (dimensions + kGraphLanes - 1) / kGraphLanes * kGraphLanes;
}

// The sum of the squares of the differences. `n` is a multiple of kGraphLanes. The result may be any
// number above `bound` if the sum is above `bound`.
float SquaresUpTo(const float* a, const float* b, size_t n, float bound);
inline float SquaresOf(const float* a, const float* b, size_t n) {
  return SquaresUpTo(a, b, n, std::numeric_limits<float>::infinity());
}

// The vector as a graph holds it: padded, and for kCosine of length 1, so that SquaresOf orders as
// the metric does. Empty if it has no place in a graph: it is all zeros, with kCosine. None if a
// graph cannot hold it: with kL2 it is so large or so small that floats would not tell the distances.
std::optional<std::vector<float>> ToGraphVector(Metric metric, const View& view);

}  // namespace cairn::vectors
