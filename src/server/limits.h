// The largest requests and results of a node. docs/internals/api.md lists all limits.
#pragma once

#include <cstddef>

namespace cairn::server {

// The limit of a request is in rpc/request_size.h.

// A result in one message. A gRPC client receives this much by default.
inline constexpr size_t kResultBytesMax = (4 << 20) - (64 << 10);
// The same result decoded: a number of one byte is an object of fifty bytes.
inline constexpr size_t kResultDecodedBytesMax = 16 << 20;
// The values of a row in a Query stream, which is as much as a row of SQLite may hold. A row goes in
// one message. A gRPC client that has not raised its own limit takes 4 MiB.
inline constexpr size_t kStreamedRowBytesMax = 16 << 20;
// One message of a Query stream.
inline constexpr size_t kQueryChunkBytes = 64 << 10;
inline constexpr int kQueryChunkRows = 1024;
// Messages of a Session are filled up to this size. One larger response goes alone.
inline constexpr size_t kSessionMessageBytes = 1 << 20;
inline constexpr size_t kSessionInflightMax = 4096;
inline constexpr size_t kForwardedInflightMax = 65536;
// Responses that the client has not taken. Past this size the node reads nothing more from the
// stream.
inline constexpr size_t kSessionUnsentBytesMax = 8 << 20;
// Past this size a result is left out of its answer, and the client is told so. What was already
// asked for when reading ended may come to much more than the limit above.
inline constexpr size_t kSessionUnsentResultsMax = 32 << 20;
inline constexpr int kStreamsPerConnectionMax = 1024;
// Longer timeouts are cut to this. A request may wait as long as its work takes, and building an
// index may take hours. What waits is bounded in number and bytes, not in time.
inline constexpr unsigned kTimeoutMsMax = 24 * 60 * 60 * 1000;

}  // namespace cairn::server
