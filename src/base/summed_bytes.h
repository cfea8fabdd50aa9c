// Bytes and their CRC32C, so that who passes the bytes on need not sum them again.
#pragma once

#include <cstdint>
#include <string>

namespace cairn {

struct SummedBytes {
  std::string bytes;
  uint32_t crc = 0;
};

}  // namespace cairn
