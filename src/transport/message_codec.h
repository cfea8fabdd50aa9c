// Encodes and decodes the Raft messages between peers. docs/internals/peer_protocol.md specifies
// the bytes.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"
#include "raft/types.h"

namespace cairn::transport {

// Appends the encoded `message` to `out`. The entries of an AppendRequest must be contiguous from
// prev_index + 1, because their indexes are not sent.
void EncodeMessage(const raft::Message& message, std::string* out);
// Returns INVALID_ARGUMENT on malformed bytes. Never crashes, and allocates no more than the size
// of the input justifies.
Result<raft::Message> DecodeMessage(std::string_view bytes);

// The cost of a message in a queue, which is also an upper bound of its size on the wire. The
// configuration of a SnapshotOffer is estimated: it is small, and there is one at a time.
size_t MessageCost(const raft::Message& message);

}  // namespace cairn::transport
