#include "vectors/distance.h"

#include <algorithm>
#include <cmath>

#include "vectors/lanes.h"

namespace cairn::vectors {
namespace {

const unsigned char* BytesOf(const std::vector<float>& elements) {
  return reinterpret_cast<const unsigned char*>(elements.data());
}

// 16-bit elements become floats first.
CosineSums SumsOf(const View& a, const View& b) {
  if (a.kind == Kind::kFloat32) return SumsOfFloats(a.elements, b.elements, a.dimensions);
  if (a.kind == Kind::kFloat64) return SumsOfDoubles(a.elements, b.elements, a.dimensions);
  if (a.kind == Kind::kFloat8) {
    const ByteSums sums = SumsOfBytes(a.elements, b.elements, a.dimensions);
    const auto n = static_cast<double>(a.dimensions);
    const double alpha_a = a.alpha;
    const double alpha_b = b.alpha;
    const double shift_a = a.shift;
    const double shift_b = b.shift;
    const auto sum_a = static_cast<double>(sums.sum_a);
    const auto sum_b = static_cast<double>(sums.sum_b);
    return {alpha_a * alpha_b * static_cast<double>(sums.dot) + alpha_a * shift_b * sum_a +
                alpha_b * shift_a * sum_b + shift_a * shift_b * n,
            alpha_a * alpha_a * static_cast<double>(sums.squares_a) +
                2 * alpha_a * shift_a * sum_a + shift_a * shift_a * n,
            alpha_b * alpha_b * static_cast<double>(sums.squares_b) +
                2 * alpha_b * shift_b * sum_b + shift_b * shift_b * n};
  }
  const auto x = std::get<std::vector<float>>(ElementsOf(a));
  const auto y = std::get<std::vector<float>>(ElementsOf(b));
  return SumsOfFloats(BytesOf(x), BytesOf(y), a.dimensions);
}

double SquaresOf(const View& a, const View& b) {
  if (a.kind == Kind::kFloat32) return SquaresOfFloats(a.elements, b.elements, a.dimensions);
  if (a.kind == Kind::kFloat64) return SquaresOfDoubles(a.elements, b.elements, a.dimensions);
  const auto x = std::get<std::vector<float>>(ElementsOf(a));
  const auto y = std::get<std::vector<float>>(ElementsOf(b));
  return SquaresOfFloats(BytesOf(x), BytesOf(y), a.dimensions);
}

Status NotComputable(const View& a, const View& b) {
  RETURN_IF_ERROR(CheckFinite(a));
  RETURN_IF_ERROR(CheckFinite(b));
  return InvalidArgument("the elements of the vectors are too large for a distance; scale them");
}

}  // namespace

Result<std::optional<double>> Distance(Metric metric, const View& a, const View& b) {
  if (a.kind == Kind::kFloat1Bit) {
    if (metric == Metric::kL2) {
      return InvalidArgument(
          "vectors of bits have no Euclidean distance; use vector_distance_cos(), which counts the "
          "bits that differ");
    }
    return std::optional(
        static_cast<double>(DifferentBits(a.elements, b.elements, (a.dimensions + 7) / 8)));
  }
  if (metric == Metric::kL2) {
    const double squares = SquaresOf(a, b);
    if (!std::isfinite(squares)) return NotComputable(a, b);
    return std::optional(std::sqrt(squares));
  }
  const CosineSums sums = SumsOf(a, b);
  const double squares = sums.squares_a * sums.squares_b;
  if (!std::isfinite(sums.dot) || !std::isfinite(squares)) return NotComputable(a, b);
  if (!(squares > 0)) return std::optional<double>();
  return std::optional(std::clamp(1 - sums.dot / std::sqrt(squares), 0.0, 2.0));
}

}  // namespace cairn::vectors
