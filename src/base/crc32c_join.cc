#include "base/crc32c_join.h"

#include <array>
#include <cstddef>

namespace cairn {
namespace {

uint32_t AfterZeroByte(uint32_t crc) {
  for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78U : 0);
  return crc;
}

// What a number of zero bytes behind it makes of a sum. The map is linear: a sum is the XOR of its
// bits, and each bit of the sum has an image.
using ZerosMap = std::array<uint32_t, 32>;

uint32_t Apply(const ZerosMap& map, uint32_t crc) {
  uint32_t out = 0;
  for (size_t bit = 0; crc != 0; ++bit, crc >>= 1) out ^= (crc & 1) != 0 ? map[bit] : 0;
  return out;
}

// The maps of 1, 2, 4, 8 ... zero bytes: each is the one before, twice.
std::array<ZerosMap, 64> MakeZerosMaps() {
  std::array<ZerosMap, 64> maps{};
  for (size_t bit = 0; bit < 32; ++bit) maps[0][bit] = AfterZeroByte(1U << bit);
  for (size_t i = 1; i < maps.size(); ++i) {
    for (size_t bit = 0; bit < 32; ++bit) maps[i][bit] = Apply(maps[i - 1], maps[i - 1][bit]);
  }
  return maps;
}

}  // namespace

// The inversions at the beginning and at the end of each sum cancel each other out.
uint32_t JoinCrc32c(uint32_t crc_of_a, uint32_t crc_of_b, uint64_t size_of_b) {
  static const std::array<ZerosMap, 64> kMaps = MakeZerosMaps();
  for (size_t i = 0; size_of_b != 0; ++i, size_of_b >>= 1) {
    if ((size_of_b & 1) != 0) crc_of_a = Apply(kMaps[i], crc_of_a);
  }
  return crc_of_a ^ crc_of_b;
}

}  // namespace cairn
