#include "fuzz_input.h"

#include <algorithm>
#include <utility>

namespace cairn::fuzz {

uint8_t Decisions::Byte() {
  if (bytes_.empty()) return 0;
  const auto byte = static_cast<uint8_t>(bytes_.front());
  bytes_.remove_prefix(1);
  return byte;
}

uint64_t Decisions::Word() {
  uint64_t word = 0;
  for (int i = 0; i < 8; ++i) word = word << 8 | Byte();
  return word;
}

uint64_t Decisions::Below(uint64_t bound) { return (bound <= 256 ? Byte() : Word()) % bound; }

std::string Decisions::Bytes(size_t size_max) {
  const uint64_t wanted = Below(size_max + 1);  // first: it takes bytes
  const size_t size = std::min<size_t>(wanted, bytes_.size());
  std::string out(bytes_.substr(0, size));
  bytes_.remove_prefix(size);
  return out;
}

std::string Decisions::Rest() { return std::string(std::exchange(bytes_, {})); }

}  // namespace cairn::fuzz
