#include "vectors/graph_distance.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "vectors/wide.h"

namespace cairn::vectors {
namespace {

typedef float Floats __attribute__((vector_size(32)));
constexpr size_t kFloats = sizeof(Floats) / sizeof(float);
// The bound is looked at after so many elements.
constexpr size_t kBlock = 128;

// Squares of the elements between these stay far from the ends of a float's range.
constexpr double kLargest = 1e15;
constexpr double kSmallest = 1e-12;

CAIRN_INLINE void AddPart(const float* a, const float* b, Floats* sum) {
  Floats x;
  Floats y;
  std::memcpy(&x, a, sizeof(x));
  std::memcpy(&y, b, sizeof(y));
  const Floats difference = x - y;
  *sum += difference * difference;
}

CAIRN_INLINE float SumOf(const Floats& floats) {
  float parts[kFloats];
  std::memcpy(parts, &floats, sizeof(parts));
  return ((parts[0] + parts[4]) + (parts[2] + parts[6])) +
         ((parts[1] + parts[5]) + (parts[3] + parts[7]));
}

CAIRN_INLINE float Squares(const float* a, const float* b, size_t n, float bound) {
  float total = 0;
  for (; n >= kBlock; n -= kBlock, a += kBlock, b += kBlock) {
    Floats s0 = {};
    Floats s1 = {};
    Floats s2 = {};
    Floats s3 = {};
    for (size_t i = 0; i < kBlock; i += 4 * kFloats) {
      AddPart(a + i, b + i, &s0);
      AddPart(a + i + kFloats, b + i + kFloats, &s1);
      AddPart(a + i + 2 * kFloats, b + i + 2 * kFloats, &s2);
      AddPart(a + i + 3 * kFloats, b + i + 3 * kFloats, &s3);
    }
    const Floats sum = (s0 + s1) + (s2 + s3);
    total += SumOf(sum);
    if (total > bound) return total;
  }
  Floats rest = {};
  for (size_t i = 0; i < n; i += kFloats) AddPart(a + i, b + i, &rest);
  return total + SumOf(rest);
}

#if CAIRN_HAS_WIDE
CAIRN_WIDE float WideSquares(const float* a, const float* b, size_t n, float bound) {
  return Squares(a, b, n, bound);
}

bool IsWide() {
  static const bool kWide = __builtin_cpu_supports("avx2") != 0;
  return kWide;
}
#endif

bool IsFinite(const std::vector<double>& elements) {
  return std::all_of(elements.begin(), elements.end(),
                     [](double each) { return std::isfinite(each); });
}

std::vector<double> DoublesOf(const View& view) {
  return std::visit(
      [](const auto& elements) { return std::vector<double>(elements.begin(), elements.end()); },
      ElementsOf(view));
}

// The common case, without a detour: at a start each row comes through here.
std::optional<std::vector<float>> PlainFloats(const View& view) {
  std::vector<float> vector(PaddedDimensions(view.dimensions));
  std::memcpy(vector.data(), view.elements, view.dimensions * sizeof(float));
  float largest = 0;
  for (const float each : vector) {
    if (!std::isfinite(each)) return std::nullopt;
    largest = std::max(largest, std::abs(each));
  }
  if (largest != 0 && (largest > kLargest || largest < kSmallest)) return std::nullopt;
  return vector;
}

}  // namespace

float SquaresUpTo(const float* a, const float* b, size_t n, float bound) {
#if CAIRN_HAS_WIDE
  if (IsWide()) return WideSquares(a, b, n, bound);
#endif
  return Squares(a, b, n, bound);
}

std::optional<std::vector<float>> ToGraphVector(Metric metric, const View& view) {
  if (metric == Metric::kL2 && view.kind == Kind::kFloat32) return PlainFloats(view);
  const std::vector<double> elements = DoublesOf(view);
  if (!IsFinite(elements)) return std::nullopt;
  double largest = 0;
  for (const double each : elements) largest = std::max(largest, std::abs(each));
  double length = 1;
  if (metric == Metric::kCosine) {
    if (largest == 0) return std::vector<float>();
    // By the largest, so that no square vanishes or overflows.
    double squares = 0;
    for (const double each : elements) squares += (each / largest) * (each / largest);
    length = std::sqrt(squares);
  } else {
    if (largest != 0 && (largest > kLargest || largest < kSmallest)) return std::nullopt;
    largest = 1;
  }
  std::vector<float> vector(PaddedDimensions(elements.size()));
  for (size_t i = 0; i < elements.size(); ++i) {
    vector[i] = static_cast<float>(elements[i] / largest / length);
  }
  return vector;
}

}  // namespace cairn::vectors
