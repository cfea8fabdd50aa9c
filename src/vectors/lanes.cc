#include "vectors/lanes.h"

#include <bit>
#include <cstring>

#include "vectors/wide.h"  // both kinds of code do the same operations

namespace cairn::vectors {
namespace {

constexpr size_t kLanes = 16;

typedef double Doubles __attribute__((vector_size(32)));
typedef float Floats __attribute__((vector_size(16)));

// 16 sums. The members are written out, so that the compiler keeps them in registers.
struct Lanes {
  Doubles p0 = {};
  Doubles p1 = {};
  Doubles p2 = {};
  Doubles p3 = {};
};

// Elements 4 * part to 4 * part + 3 of 16.
template <class T>
CAIRN_INLINE void LoadPart(const unsigned char* from, size_t part, Doubles* doubles) {
  if constexpr (sizeof(T) == sizeof(double)) {
    std::memcpy(doubles, from + part * sizeof(Doubles), sizeof(Doubles));
  } else {
    Floats floats;
    std::memcpy(&floats, from + part * sizeof(Floats), sizeof(Floats));
    *doubles = __builtin_convertvector(floats, Doubles);
  }
}

CAIRN_INLINE double SumOf(const Lanes& lanes) {
  double sums[kLanes];
  std::memcpy(sums, &lanes, sizeof(sums));
  for (size_t half = kLanes / 2; half > 0; half /= 2) {
    for (size_t j = 0; j < half; ++j) sums[j] += sums[j + half];
  }
  return sums[0];
}

template <class T>
struct Products {
  Lanes dot;
  Lanes squares_a;
  Lanes squares_b;
  CAIRN_INLINE static void AddPart(const unsigned char* a, const unsigned char* b, size_t part,
                                   Doubles* dot, Doubles* aa, Doubles* bb) {
    Doubles x;
    Doubles y;
    LoadPart<T>(a, part, &x);
    LoadPart<T>(b, part, &y);
    *dot += x * y;
    *aa += x * x;
    *bb += y * y;
  }
  CAIRN_INLINE void Add(const unsigned char* a, const unsigned char* b) {
    AddPart(a, b, 0, &dot.p0, &squares_a.p0, &squares_b.p0);
    AddPart(a, b, 1, &dot.p1, &squares_a.p1, &squares_b.p1);
    AddPart(a, b, 2, &dot.p2, &squares_a.p2, &squares_b.p2);
    AddPart(a, b, 3, &dot.p3, &squares_a.p3, &squares_b.p3);
  }
};

template <class T>
struct Differences {
  Lanes squares;
  CAIRN_INLINE static void AddPart(const unsigned char* a, const unsigned char* b, size_t part,
                                   Doubles* squares) {
    Doubles x;
    Doubles y;
    LoadPart<T>(a, part, &x);
    LoadPart<T>(b, part, &y);
    const Doubles difference = x - y;
    *squares += difference * difference;
  }
  CAIRN_INLINE void Add(const unsigned char* a, const unsigned char* b) {
    AddPart(a, b, 0, &squares.p0);
    AddPart(a, b, 1, &squares.p1);
    AddPart(a, b, 2, &squares.p2);
    AddPart(a, b, 3, &squares.p3);
  }
};

// Calls Add with 16 elements of each at a time. Zeros fill the last 16, which changes no sum.
template <class T, class Sums>
CAIRN_INLINE void AddAll(const unsigned char* a, const unsigned char* b, size_t n, Sums* sums) {
  constexpr size_t kBytes = kLanes * sizeof(T);
  for (; n >= kLanes; n -= kLanes) {
    sums->Add(a, b);
    a += kBytes;
    b += kBytes;
  }
  if (n == 0) return;
  unsigned char last_a[kBytes] = {};
  unsigned char last_b[kBytes] = {};
  std::memcpy(last_a, a, n * sizeof(T));
  std::memcpy(last_b, b, n * sizeof(T));
  sums->Add(last_a, last_b);
}

template <class T>
CAIRN_INLINE CosineSums AddProducts(const unsigned char* a, const unsigned char* b, size_t n) {
  Products<T> sums;
  AddAll<T>(a, b, n, &sums);
  return {SumOf(sums.dot), SumOf(sums.squares_a), SumOf(sums.squares_b)};
}

template <class T>
CAIRN_INLINE double AddSquares(const unsigned char* a, const unsigned char* b, size_t n) {
  Differences<T> sums;
  AddAll<T>(a, b, n, &sums);
  return SumOf(sums.squares);
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
