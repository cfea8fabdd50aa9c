// The identity file: any bytes are refused or mean one identity. The target tries the bytes as they
// are, and with a corrected checksum; otherwise the fuzzer would not get past the checksum.
#include <algorithm>

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "fuzz_input.h"
#include "node/identity_file.h"

namespace {

std::string WithChecksum(std::string_view bytes) {
  std::string out(bytes.substr(0, bytes.size() - std::min<size_t>(bytes.size(), 4)));
  const uint32_t crc = cairn::Crc32c(out);
  cairn::ByteWriter(&out).U32(crc);
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cairn::node;  // NOLINT: a function's
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  for (const std::string& each : {std::string(bytes), WithChecksum(bytes)}) {
    const auto record = DecodeIdentity(each);
    if (!record.ok()) continue;
    const auto again = DecodeIdentity(EncodeIdentity(*record));
    CHECK(again.ok() && *again == *record);
  }
  return 0;
}
