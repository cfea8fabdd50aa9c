// Little-endian encoding into and out of byte strings. Everything on disk and between peers uses
// this encoding.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace cairn {

// ByteWriter appends to a string that the caller owns.
class ByteWriter {
 public:
  explicit ByteWriter(std::string* out) : out_(out) {}

  void U8(uint8_t v) { out_->push_back(static_cast<char>(v)); }
  void U16(uint16_t v) { Fixed(v); }
  void U32(uint32_t v) { Fixed(v); }
  void U64(uint64_t v) { Fixed(v); }
  void I64(int64_t v) { Fixed(static_cast<uint64_t>(v)); }
  void F64(double v);
  // LEB128, 1 to 10 bytes.
  void Varint(uint64_t v) {
    if (v < 0x80) return U8(static_cast<uint8_t>(v));  // most are small
    LongVarint(v);
  }
  void Raw(std::string_view v) { out_->append(v); }
  // Writes the length as a varint, then the bytes.
  void String(std::string_view v) {
    Varint(v.size());
    Raw(v);
  }

 private:
  template <class T>
  void Fixed(T v) {
    char bytes[sizeof(T)];
    for (size_t i = 0; i < sizeof(T); ++i) bytes[i] = static_cast<char>(v >> (8 * i));
    out_->append(bytes, sizeof(T));
  }
  void LongVarint(uint64_t v);

  std::string* out_;
};

// ByteReader reads from bytes that the caller keeps alive. After the first read past the end, or a
// malformed varint, ok() is false and every later read returns zero or empty. So the caller checks
// ok() once, at the end.
class ByteReader {
 public:
  explicit ByteReader(std::string_view in) : in_(in) {}

  uint8_t U8() { return static_cast<uint8_t>(Fixed<uint8_t>()); }
  uint16_t U16() { return Fixed<uint16_t>(); }
  uint32_t U32() { return Fixed<uint32_t>(); }
  uint64_t U64() { return Fixed<uint64_t>(); }
  int64_t I64() { return static_cast<int64_t>(Fixed<uint64_t>()); }
  double F64();
  uint64_t Varint() {
    if (in_.empty() || static_cast<uint8_t>(in_.front()) >= 0x80) return LongVarint();
    const auto byte = static_cast<uint8_t>(in_.front());
    in_.remove_prefix(1);
    return byte;
  }
  // The result is a view into the input.
  std::string_view Raw(size_t n);
  std::string_view String() { return Raw(Varint()); }

  bool ok() const { return ok_; }
  // True if the whole input was read without error: a decoder of a whole message checks this.
  bool done() const { return ok_ && in_.empty(); }
  size_t remaining() const { return in_.size(); }

 private:
  template <class T>
  T Fixed() {
    std::string_view b = Raw(sizeof(T));
    if (b.size() != sizeof(T)) return 0;
    T v = 0;
    for (size_t i = 0; i < sizeof(T); ++i) {
      v = static_cast<T>(v | static_cast<T>(static_cast<T>(static_cast<uint8_t>(b[i])) << (8 * i)));
    }
    return v;
  }
  uint64_t LongVarint();

  std::string_view in_;
  bool ok_ = true;
};

}  // namespace cairn
