// Configurations, in the log and in messages: any bytes are refused or mean one configuration.
#include "base/check.h"
#include "fuzz_input.h"
#include "raft/configuration_codec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cairn::raft;  // NOLINT: a function's
  const auto config = DecodeConfiguration({reinterpret_cast<const char*>(data), size});
  if (!config) return 0;
  const auto again = DecodeConfiguration(EncodeConfiguration(*config));
  CHECK(again && *again == *config);
  return 0;
}
