// CRC32C (Castagnoli, RFC 3720 appendix B.4).
#pragma once

#include <cstdint>
#include <string_view>

namespace cairn {

// Crc32c("123456789") == 0xe3069283. To chain over several pieces, pass an earlier result as
// `seed`: Crc32c(b, Crc32c(a)) == Crc32c(a + b).
uint32_t Crc32c(std::string_view data, uint32_t seed = 0);

}  // namespace cairn
