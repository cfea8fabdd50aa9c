// GrpcTransport: the Transport over gRPC, on the same port that serves clients.
#pragma once

#include <memory>
#include <string>

#include "base/file_system.h"
#include "transport/transport.h"

namespace grpc {
class ServerBuilder;
class Service;
}  // namespace grpc

namespace cairn::transport {

// No peer message is larger: an entry of 16 MiB and more than enough around it.
inline constexpr int kMessageBytesMax = 24 << 20;
// An idle connection between peers is pinged this often.
inline constexpr int kKeepaliveMs = 3000;

struct GrpcTransportOptions {
  std::string snapshot_directory;          // received snapshots are assembled here
  size_t send_queue_bytes_max = 32 << 20;  // per peer
  size_t snapshot_chunk_bytes = 1 << 20;
  // A snapshot that would leave less than this on the file system is refused.
  uint64_t snapshot_free_bytes_min = 64 << 20;
  FileSystem* file_system = nullptr;  // null: the operating system's; must outlive the transport
};

// One long-lived stream per peer for messages, written from the thread that calls Send when it is
// idle and from gRPC's threads when it is not; one thread for retries; one for each snapshot being
// sent (two at most), one for the snapshot being received. The handler is called without a lock
// held.
//
// Order of ending: Shutdown of the transport, then of the server, then both may be destroyed (the
// server before the transport, whose service it holds).
class GrpcTransport : public Transport {
 public:
  // The gRPC service to be registered with the node's server before it starts.
  virtual grpc::Service* service() = 0;
  // What the service needs of the server that carries it: its message size, and leave for the
  // peers' keepalive pings (by default a server hangs up on a client that pings this often).
  virtual void ConfigureServer(grpc::ServerBuilder* builder) = 0;
  // The handler, to be set once before the server starts; must outlive Shutdown.
  virtual void SetHandler(Handler* handler) = 0;
  // Ends all streams and calls and waits for them; no callback runs after it, so callbacks given to
  // calls made after it are never called. What was under way ends with CANCELLED or UNAVAILABLE.
  // Not from a callback.
  virtual void Shutdown() = 0;

  // Messages that were dropped instead of sent since the start, all peers together.
  virtual uint64_t messages_dropped() const = 0;
};

// The destructor calls Shutdown.
std::unique_ptr<GrpcTransport> NewGrpcTransport(GrpcTransportOptions options);

}  // namespace cairn::transport
