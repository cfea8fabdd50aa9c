// How large a request may be: the one bound that clients and nodes share.
#pragma once

#include <cstddef>

#include "base/status.h"

namespace cairn::rpc {

inline constexpr size_t kRequestBytesMax = 16 << 20;

// INVALID_ARGUMENT past the bound. A node checks what it has received; our client checks before it
// sends, because gRPC answers a far larger request by ending the stream, which other requests
// share, and says nothing of the outcome.
Status CheckRequestSize(size_t bytes);

}  // namespace cairn::rpc
