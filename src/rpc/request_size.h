// How large a request may be: the one bound that clients and nodes share.
#pragma once

#include <cstddef>

#include "base/status.h"

namespace cairn::rpc {

inline constexpr size_t kRequestBytesMax = 16 << 20;

// INVALID_ARGUMENT past the bound. A node asks this of what it received; our own client before it
// sends: gRPC answers what is far larger by ending the stream, which is shared with other requests,
// and says nothing of the outcome.
Status CheckRequestSize(size_t bytes);

}  // namespace cairn::rpc
