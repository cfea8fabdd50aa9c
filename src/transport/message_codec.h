// Bytes of a Raft message between peers. docs/internals/peer_protocol.md specifies them.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"
#include "raft/types.h"

namespace cairn::transport {

// Appends the bytes of `message` to `out`. The entries of an AppendRequest must be contiguous from
// prev_index + 1 (their indexes are not sent).
void EncodeMessage(const raft::Message& message, std::string* out);
// INVALID_ARGUMENT on malformed bytes; never crashes, allocates no more than the input justifies.
Result<raft::Message> DecodeMessage(std::string_view bytes);

// What a message costs in a queue and, as an upper bound, on the wire. A SnapshotOffer's
// configuration is counted at a guess: it is small and there is one at a time.
size_t MessageCost(const raft::Message& message);

}  // namespace cairn::transport
