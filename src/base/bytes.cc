#include "base/bytes.h"

#include <bit>

namespace cairn {

void ByteWriter::F64(double v) { U64(std::bit_cast<uint64_t>(v)); }

void ByteWriter::LongVarint(uint64_t v) {
  while (v >= 0x80) {
    U8(static_cast<uint8_t>(v) | 0x80);
    v >>= 7;
  }
  U8(static_cast<uint8_t>(v));
}

double ByteReader::F64() { return std::bit_cast<double>(U64()); }

uint64_t ByteReader::LongVarint() {
  uint64_t v = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    uint8_t byte = U8();
    if (!ok_) return 0;
    if (shift == 63 && byte > 1) break;
    v |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) return v;
  }
  ok_ = false;
  in_ = {};
  return 0;
}

std::string_view ByteReader::Raw(size_t n) {
  if (n > in_.size()) {
    ok_ = false;
    in_ = {};
    return {};
  }
  std::string_view out = in_.substr(0, n);
  in_.remove_prefix(n);
  return out;
}

}  // namespace cairn
