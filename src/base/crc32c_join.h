// The CRC32C of two pieces together, from the CRC32C of each.
#pragma once

#include <cstdint>

namespace cairn {

// JoinCrc32c(Crc32c(a), Crc32c(b), b.size()) == Crc32c(a + b). Looks at no byte of the pieces.
uint32_t JoinCrc32c(uint32_t crc_of_a, uint32_t crc_of_b, uint64_t size_of_b);

}  // namespace cairn
