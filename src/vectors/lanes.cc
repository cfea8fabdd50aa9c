#include "vectors/lanes.h"

#include <bit>
#include <cstring>

// Compiled for the processors that most machines have, and for all. Both do the same operations.
#if defined(__x86_64__)
#define CAIRN_WIDE __attribute__((target("avx2")))
#define CAIRN_HAS_WIDE 1
#else
#define CAIRN_HAS_WIDE 0
#endif
#define CAIRN_INLINE __attribute__((always_inline)) inline

namespace cairn::vectors {
namespace {

constexpr size_t kLanes = 16;
constexpr size_t kParts = 4;

typedef double Doubles __attribute__((vector_size(32)));
typedef float Floats __attribute__((vector_size(16)));

// 16 doubles.
struct Lanes {
  Doubles part[kParts] = {};
};

template <class T>
CAIRN_INLINE void LoadLanes(const unsigned char* from, Lanes* lanes) {
  for (size_t p = 0; p < kParts; ++p) {
    if constexpr (sizeof(T) == sizeof(double)) {
      std::memcpy(&lanes->part[p], from + p * sizeof(Doubles), sizeof(Doubles));
    } else {
      Floats floats;
      std::memcpy(&floats, from + p * sizeof(Floats), sizeof(Floats));
      lanes->part[p] = __builtin_convertvector(floats, Doubles);
    }
  }
}

// The lanes behind the last element are zero, which changes no sum.
template <class T>
CAIRN_INLINE void LoadRest(const unsigned char* from, size_t n, Lanes* lanes) {
  unsigned char padded[kLanes * sizeof(T)] = {};
  std::memcpy(padded, from, n * sizeof(T));
  LoadLanes<T>(padded, lanes);
}

CAIRN_INLINE double SumOf(const Lanes& lanes) {
  double sums[kLanes];
  std::memcpy(sums, lanes.part, sizeof(sums));
  for (size_t half = kLanes / 2; half > 0; half /= 2) {
    for (size_t j = 0; j < half; ++j) sums[j] += sums[j + half];
  }
  return sums[0];
}

// Calls `add` with 16 elements of each at a time.
template <class T, class Add>
CAIRN_INLINE void ForLanes(const unsigned char* a, const unsigned char* b, size_t n, Add add) {
  Lanes x;
  Lanes y;
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    LoadLanes<T>(a + i * sizeof(T), &x);
    LoadLanes<T>(b + i * sizeof(T), &y);
    add(x, y);
  }
  if (i == n) return;
  LoadRest<T>(a + i * sizeof(T), n - i, &x);
  LoadRest<T>(b + i * sizeof(T), n - i, &y);
  add(x, y);
}

template <class T>
CAIRN_INLINE CosineSums AddProducts(const unsigned char* a, const unsigned char* b, size_t n) {
  Lanes dot;
  Lanes squares_a;
  Lanes squares_b;
  ForLanes<T>(
      a, b, n, [&](const Lanes& x, const Lanes& y) __attribute__((always_inline)) {
        for (size_t p = 0; p < kParts; ++p) {
          dot.part[p] += x.part[p] * y.part[p];
          squares_a.part[p] += x.part[p] * x.part[p];
          squares_b.part[p] += y.part[p] * y.part[p];
        }
      });
  return {SumOf(dot), SumOf(squares_a), SumOf(squares_b)};
}

template <class T>
CAIRN_INLINE double AddSquares(const unsigned char* a, const unsigned char* b, size_t n) {
  Lanes squares;
  ForLanes<T>(
      a, b, n, [&](const Lanes& x, const Lanes& y) __attribute__((always_inline)) {
        for (size_t p = 0; p < kParts; ++p) {
          const Doubles difference = x.part[p] - y.part[p];
          squares.part[p] += difference * difference;
        }
      });
  return SumOf(squares);
}

#if CAIRN_HAS_WIDE
CAIRN_WIDE CosineSums WideFloats(const unsigned char* a, const unsigned char* b, size_t n) {
  return AddProducts<float>(a, b, n);
}
CAIRN_WIDE CosineSums WideDoubles(const unsigned char* a, const unsigned char* b, size_t n) {
  return AddProducts<double>(a, b, n);
}
CAIRN_WIDE double WideSquaresOfFloats(const unsigned char* a, const unsigned char* b, size_t n) {
  return AddSquares<float>(a, b, n);
}
CAIRN_WIDE double WideSquaresOfDoubles(const unsigned char* a, const unsigned char* b, size_t n) {
  return AddSquares<double>(a, b, n);
}

bool IsWide() {
  static const bool wide = __builtin_cpu_supports("avx2") != 0;
  return wide;
}
#endif

}  // namespace

CosineSums SumsOfFloats(const unsigned char* a, const unsigned char* b, size_t n) {
#if CAIRN_HAS_WIDE
  if (IsWide()) return WideFloats(a, b, n);
#endif
  return AddProducts<float>(a, b, n);
}

CosineSums SumsOfDoubles(const unsigned char* a, const unsigned char* b, size_t n) {
#if CAIRN_HAS_WIDE
  if (IsWide()) return WideDoubles(a, b, n);
#endif
  return AddProducts<double>(a, b, n);
}

double SquaresOfFloats(const unsigned char* a, const unsigned char* b, size_t n) {
#if CAIRN_HAS_WIDE
  if (IsWide()) return WideSquaresOfFloats(a, b, n);
#endif
  return AddSquares<float>(a, b, n);
}

double SquaresOfDoubles(const unsigned char* a, const unsigned char* b, size_t n) {
#if CAIRN_HAS_WIDE
  if (IsWide()) return WideSquaresOfDoubles(a, b, n);
#endif
  return AddSquares<double>(a, b, n);
}

uint64_t DifferentBits(const unsigned char* a, const unsigned char* b, size_t bytes) {
  uint64_t different = 0;
  size_t i = 0;
  for (; i + sizeof(uint64_t) <= bytes; i += sizeof(uint64_t)) {
    uint64_t x;
    uint64_t y;
    std::memcpy(&x, a + i, sizeof(x));
    std::memcpy(&y, b + i, sizeof(y));
    different += static_cast<uint64_t>(std::popcount(x ^ y));
  }
  for (; i < bytes; ++i) {
    different += static_cast<uint64_t>(std::popcount(static_cast<unsigned>(a[i] ^ b[i])));
  }
  return different;
}

ByteSums SumsOfBytes(const unsigned char* a, const unsigned char* b, size_t n) {
  ByteSums sums;
  for (size_t i = 0; i < n; ++i) {
    const uint32_t x = a[i];
    const uint32_t y = b[i];
    sums.dot += x * y;
    sums.sum_a += x;
    sums.sum_b += y;
    sums.squares_a += x * x;
    sums.squares_b += y * y;
  }
  return sums;
}

}  // namespace cairn::vectors
