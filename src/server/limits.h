// What a node takes from clients and gives to them at most. docs/internals/api.md lists them.
#pragma once

#include <cstddef>

namespace cairn::server {

// A request: rpc/request_size.h.

// A result in one message: what a gRPC client receives without being told of larger messages.
inline constexpr size_t kResultBytesMax = (4 << 20) - (64 << 10);
// The same decoded: a number of one byte is an object of fifty.
inline constexpr size_t kResultDecodedBytesMax = 16 << 20;
// One message of a Query stream.
inline constexpr size_t kQueryChunkBytes = 64 << 10;
inline constexpr int kQueryChunkRows = 1024;
// Messages of a Session: filled up to this; one larger response goes alone.
inline constexpr size_t kSessionMessageBytes = 1 << 20;
inline constexpr size_t kSessionInflightMax = 4096;
inline constexpr size_t kForwardedInflightMax = 65536;
// Responses that the client has not taken; past it nothing more is read from its stream.
inline constexpr size_t kSessionUnsentBytesMax = 8 << 20;
// Past it a result is left out of its answer, and the client told so: what was already asked for
// when reading ended may come to much more.
inline constexpr size_t kSessionUnsentResultsMax = 32 << 20;
inline constexpr int kStreamsPerConnectionMax = 1024;
// Longer times asked for are cut to this. A request may wait as long as its work takes, and
// building an index may take hours; what waits is bounded in number and bytes, not in time.
inline constexpr unsigned kTimeoutMsMax = 24 * 60 * 60 * 1000;

}  // namespace cairn::server
