// Shared by all fuzz targets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

// libFuzzer's entry point. Each target defines it.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace cairn::fuzz {

// Draws decisions from the input, byte by byte, so that a small change of the input is a small
// change of the actions. Returns zeros once the input is used up.
class Decisions {
 public:
  explicit Decisions(std::string_view bytes) : bytes_(bytes) {}
  Decisions(const uint8_t* data, size_t size) : bytes_(reinterpret_cast<const char*>(data), size) {}

  bool empty() const { return bytes_.empty(); }
  size_t remaining() const { return bytes_.size(); }
  uint8_t Byte();
  // Returns a number in [0, bound). Takes one byte if bound is at most 256, otherwise eight; bound
  // > 0.
  uint64_t Below(uint64_t bound);
  uint64_t Word();
  // Reads a length, then that many bytes, or as many as are left.
  std::string Bytes(size_t size_max);
  std::string Rest();

 private:
  std::string_view bytes_;
};

}  // namespace cairn::fuzz
