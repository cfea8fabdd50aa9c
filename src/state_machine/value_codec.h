// The encoding of numbers and values, which commands and results share. Internal to this folder.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "cairn/value.h"

namespace cairn::state_machine {

// Small numbers of either sign in few bytes: 0, -1, 1, -2 become 0, 1, 2, 3.
inline uint64_t ZigZag(int64_t v) {
  return (static_cast<uint64_t>(v) << 1) ^ static_cast<uint64_t>(v >> 63);
}
inline int64_t UnZigZag(uint64_t v) { return static_cast<int64_t>((v >> 1) ^ (~(v & 1) + 1)); }

inline size_t VarintSize(uint64_t v) { return v == 0 ? 1 : (std::bit_width(v) + 6) / 7; }

// A ByteReader that accepts only the shortest form of a number. Every input that decodes has only
// one encoding, so equal commands have equal bytes, and a hash of the bytes is well defined.
class StrictReader {
 public:
  explicit StrictReader(std::string_view in) : in_(in) {}

  uint8_t U8() { return in_.U8(); }
  uint64_t U64() { return in_.U64(); }
  int64_t I64() { return in_.I64(); }
  double F64() { return in_.F64(); }
  uint64_t Varint() {
    const size_t before = in_.remaining();
    const uint64_t v = in_.Varint();
    if (before - in_.remaining() != VarintSize(v)) ok_ = false;
    return v;
  }
  std::string_view String(size_t size_max) {
    const uint64_t size = Varint();
    if (size > size_max || size > in_.remaining()) {
      ok_ = false;
      return {};
    }
    return in_.Raw(size);
  }
  // The length of a list whose items take at least `item_bytes_min` bytes each. Never more than the
  // remaining bytes can hold.
  size_t Count(size_t count_max, size_t item_bytes_min) {
    const uint64_t count = Varint();
    if (count > count_max || count > in_.remaining() / item_bytes_min) {
      ok_ = false;
      return 0;
    }
    return static_cast<size_t>(count);
  }
  void Refuse() { ok_ = false; }
  size_t remaining() const { return in_.remaining(); }
  bool ok() const { return ok_ && in_.ok(); }
  bool done() const { return ok_ && in_.done(); }

 private:
  ByteReader in_;
  bool ok_ = true;
};

enum class ValueTag : uint8_t { kNull = 0, kInteger = 1, kReal = 2, kText = 3, kBlob = 4 };

inline void PutValue(const Value& value, ByteWriter* out) {
  switch (value.index()) {
    case 0: out->U8(static_cast<uint8_t>(ValueTag::kNull)); return;
    case 1:
      out->U8(static_cast<uint8_t>(ValueTag::kInteger));
      out->Varint(ZigZag(*std::get_if<1>(&value)));
      return;
    case 2:
      out->U8(static_cast<uint8_t>(ValueTag::kReal));
      out->F64(*std::get_if<2>(&value));
      return;
    case 3:
      out->U8(static_cast<uint8_t>(ValueTag::kText));
      out->String(*std::get_if<3>(&value));
      return;
    default:
      out->U8(static_cast<uint8_t>(ValueTag::kBlob));
      out->String(std::get_if<4>(&value)->bytes);
      return;
  }
}

inline constexpr size_t kNoLimit = std::numeric_limits<size_t>::max();

inline Value TakeValue(StrictReader* in) {
  switch (static_cast<ValueTag>(in->U8())) {
    case ValueTag::kNull: return {};
    case ValueTag::kInteger: return UnZigZag(in->Varint());
    case ValueTag::kReal: return in->F64();
    case ValueTag::kText: return std::string(in->String(kNoLimit));
    case ValueTag::kBlob: return Blob{std::string(in->String(kNoLimit))};
  }
  in->Refuse();
  return {};
}

}  // namespace cairn::state_machine
