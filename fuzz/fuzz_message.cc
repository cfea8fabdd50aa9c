// Raft messages from a peer: any bytes are refused or mean one message.
#include "base/check.h"
#include "fuzz_input.h"
#include "transport/message_codec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cairn::transport;  // NOLINT: a function's
  const auto message = DecodeMessage({reinterpret_cast<const char*>(data), size});
  if (!message.ok()) return 0;
  std::string bytes;
  EncodeMessage(*message, &bytes);
  const auto again = DecodeMessage(bytes);
  CHECK(again.ok()) << again.status().ToString();
  std::string bytes_again;
  EncodeMessage(*again, &bytes_again);
  CHECK(bytes == bytes_again);
  CHECK(std::holds_alternative<cairn::raft::SnapshotOffer>(message->body) ||
        MessageCost(*message) >= bytes.size());
  return 0;
}
