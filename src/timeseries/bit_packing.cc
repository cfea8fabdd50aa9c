#include "timeseries/bit_packing.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <string_view>
#include <utility>

namespace cairn::timeseries {
namespace {

static_assert(std::endian::native == std::endian::little);

// A number is read from the 8 bytes that begin with its first bit, and from a ninth if it is wide.
constexpr size_t kReadAhead = 9;
constexpr size_t kUnrolled = 8;  // numbers, which begin and end at a byte

uint64_t Load(const char* bytes) {
  uint64_t word;
  std::memcpy(&word, bytes, sizeof(word));
  return word;
}

template <unsigned width>
uint64_t NumberAt(const char* bytes, size_t bit) {
  constexpr uint64_t kMask = width == 64 ? ~uint64_t{0} : (uint64_t{1} << width) - 1;
  const char* const first = bytes + bit / 8;
  const unsigned shift = bit % 8;
  uint64_t number = Load(first) >> shift;
  if constexpr (width > 57) {
    const uint64_t high = static_cast<uint8_t>(first[8]);
    if (shift != 0) number |= high << (64 - shift);
  }
  return number & kMask;
}

template <unsigned width, size_t... i>
void UnpackEight(const char* bytes, uint64_t* numbers, std::index_sequence<i...> /*places*/) {
  ((numbers[i] = NumberAt<width>(bytes, i * width)), ...);
}

// Reads up to kReadAhead bytes from the first bit of each number.
template <unsigned width>
void UnpackAll(const char* bytes, uint64_t* numbers, size_t count) {
  size_t i = 0;
  for (; i + kUnrolled <= count; i += kUnrolled, bytes += width) {
    UnpackEight<width>(bytes, numbers + i, std::make_index_sequence<kUnrolled>());
  }
  for (size_t bit = 0; i < count; ++i, bit += width) numbers[i] = NumberAt<width>(bytes, bit);
}

using Unpacker = void (*)(const char*, uint64_t*, size_t);

template <size_t... width>
constexpr std::array<Unpacker, 65> Unpackers(std::index_sequence<width...> /*widths*/) {
  return {nullptr, &UnpackAll<width + 1>...};
}

constexpr std::array<Unpacker, 65> kUnpackers = Unpackers(std::make_index_sequence<64>());

}  // namespace

void Pack(std::span<const uint64_t> numbers, unsigned width, ByteWriter* out) {
  if (width == 0) return;
  uint64_t word = 0;
  unsigned used = 0;
  for (const uint64_t number : numbers) {
    word |= number << used;
    used += width;
    if (used < 64) continue;
    out->U64(word);
    used -= 64;
    // A shift by 64 is undefined; then nothing of the number is left.
    word = used == 0 ? 0 : number >> (width - used);
  }
  for (; used > 0; used -= std::min(used, 8U), word >>= 8) out->U8(static_cast<uint8_t>(word));
}

bool Unpack(ByteReader* in, unsigned width, std::span<uint64_t> numbers) {
  if (width == 0) {
    std::fill(numbers.begin(), numbers.end(), 0);
    return true;
  }
  const std::string_view packed = in->Raw(PackedBytes(numbers.size(), width));
  if (!in->ok()) return false;
  const unsigned unused = static_cast<unsigned>(packed.size() * 8 - numbers.size() * width);
  if (static_cast<uint8_t>(packed.back()) >> (8 - unused) != 0) return false;
  const Unpacker unpack = kUnpackers[width];
  if (in->remaining() >= kReadAhead) {  // what follows may be read too
    unpack(packed.data(), numbers.data(), numbers.size());
    return true;
  }
  // The numbers whose bytes might be followed by too few are read from a copy.
  const size_t safe_bytes = packed.size() > kReadAhead ? packed.size() - kReadAhead : 0;
  const size_t safe = safe_bytes * 8 / width / kUnrolled * kUnrolled;
  unpack(packed.data(), numbers.data(), safe);
  const std::string_view rest = packed.substr(safe / kUnrolled * width);
  char copy[kReadAhead + (kUnrolled + 1) * 8 + kReadAhead * 2] = {};
  std::memcpy(copy, rest.data(), rest.size());
  unpack(copy, numbers.data() + safe, numbers.size() - safe);
  return true;
}

}  // namespace cairn::timeseries
