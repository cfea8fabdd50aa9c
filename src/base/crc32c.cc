#include "base/crc32c.h"

#include <array>
#include <cstring>
#include <string>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace cairn {
namespace {

constexpr std::array<uint32_t, 256> MakeTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) ? 0x82f63b78U : 0);
    table[i] = crc;
  }
  return table;
}

uint32_t Portable(std::string_view data, uint32_t crc) {
  static constexpr std::array<uint32_t, 256> kTable = MakeTable();
  for (char c : data) crc = kTable[(crc ^ static_cast<uint8_t>(c)) & 0xff] ^ (crc >> 8);
  return crc;
}

#if defined(__x86_64__)
// One instruction waits three cycles for the one before it. So three blocks are summed side by
// side, and their sums are joined.
constexpr size_t kBlockBytes = 1024;

// What kBlockBytes zero bytes behind it make of a sum. The map is linear: a sum is the XOR of its
// bits, and each byte of the sum has a table.
using BlockShift = std::array<std::array<uint32_t, 256>, 4>;

BlockShift MakeBlockShift() {
  const std::string zeros(kBlockBytes, '\0');
  BlockShift shift{};
  for (size_t byte = 0; byte < shift.size(); ++byte) {
    for (uint32_t bit = 1; bit < 256; bit <<= 1) {
      const uint32_t shifted = Portable(zeros, bit << (8 * byte));
      for (uint32_t low = 0; low < bit; ++low) {
        shift[byte][bit | low] = shift[byte][low] ^ shifted;
      }
    }
  }
  return shift;
}

uint32_t Shift(const BlockShift& shift, uint32_t crc) {
  return shift[0][crc & 0xff] ^ shift[1][(crc >> 8) & 0xff] ^ shift[2][(crc >> 16) & 0xff] ^
         shift[3][crc >> 24];
}

uint64_t WordAt(const char* p) {
  uint64_t word;
  std::memcpy(&word, p, sizeof word);
  return word;
}

__attribute__((target("sse4.2"))) uint32_t Hardware(std::string_view data, uint32_t crc) {
  static const BlockShift kShift = MakeBlockShift();
  const char* p = data.data();
  size_t n = data.size();
  for (; n >= 3 * kBlockBytes; n -= 3 * kBlockBytes, p += 3 * kBlockBytes) {
    uint64_t first = crc;
    uint64_t second = 0;
    uint64_t third = 0;
    for (size_t at = 0; at < kBlockBytes; at += sizeof(uint64_t)) {
      first = _mm_crc32_u64(first, WordAt(p + at));
      second = _mm_crc32_u64(second, WordAt(p + kBlockBytes + at));
      third = _mm_crc32_u64(third, WordAt(p + 2 * kBlockBytes + at));
    }
    crc = Shift(kShift, static_cast<uint32_t>(first)) ^ static_cast<uint32_t>(second);
    crc = Shift(kShift, crc) ^ static_cast<uint32_t>(third);
  }
  uint64_t crc64 = crc;
  for (; n >= sizeof(uint64_t); n -= sizeof(uint64_t), p += sizeof(uint64_t)) {
    crc64 = _mm_crc32_u64(crc64, WordAt(p));
  }
  crc = static_cast<uint32_t>(crc64);
  for (; n > 0; --n, ++p) crc = _mm_crc32_u8(crc, static_cast<uint8_t>(*p));
  return crc;
}
#endif

}  // namespace

uint32_t Crc32c(std::string_view data, uint32_t seed) {
  uint32_t crc = ~seed;
#if defined(__x86_64__)
  static const bool kHasSse42 = __builtin_cpu_supports("sse4.2");
  if (kHasSse42) return ~Hardware(data, crc);
#endif
  return ~Portable(data, crc);
}

}  // namespace cairn
