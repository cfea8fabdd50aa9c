// The largest request: the one bound that clients and nodes share.
#pragma once

#include <cstddef>

#include "base/status.h"

namespace cairn::rpc {

inline constexpr size_t kRequestBytesMax = 16 << 20;

// INVALID_ARGUMENT past the bound. A node checks the requests that it receives. Cairn's client
// checks before it sends: gRPC answers a far larger request by ending the stream, which other
// requests share, and does not say what became of the request.
Status CheckRequestSize(size_t bytes);

}  // namespace cairn::rpc
