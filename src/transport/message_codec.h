// Bytes of a Raft message between peers. docs/internals/wire_format.md specifies them.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "raft/types.h"

namespace cairn::transport {

void EncodeMessage(const raft::Message& message, std::string* out);
// INVALID_ARGUMENT on malformed bytes; never crashes, allocates no more than the input justifies.
Result<raft::Message> DecodeMessage(std::string_view bytes);

}  // namespace cairn::transport
