// The sums of products of two vectors, in the order that distance.h names.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cairn::vectors {

struct CosineSums {
  double dot = 0;
  double squares_a = 0;
  double squares_b = 0;
};

// The elements need not be aligned.
CosineSums SumsOfFloats(const unsigned char* a, const unsigned char* b, size_t n);
CosineSums SumsOfDoubles(const unsigned char* a, const unsigned char* b, size_t n);
// The sums of the squares of the differences.
double SquaresOfFloats(const unsigned char* a, const unsigned char* b, size_t n);
double SquaresOfDoubles(const unsigned char* a, const unsigned char* b, size_t n);

// The number of bits that differ.
uint64_t DifferentBits(const unsigned char* a, const unsigned char* b, size_t bytes);

struct ByteSums {
  uint64_t dot = 0;
  uint64_t sum_a = 0;
  uint64_t sum_b = 0;
  uint64_t squares_a = 0;
  uint64_t squares_b = 0;
};
ByteSums SumsOfBytes(const unsigned char* a, const unsigned char* b, size_t n);

}  // namespace cairn::vectors
