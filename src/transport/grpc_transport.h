// GrpcTransport: the Transport over gRPC. It uses the port that also serves clients.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/file_system.h"
#include "security/tls.h"
#include "transport/transport.h"

namespace grpc {
class ServerBuilder;
class Service;
}  // namespace grpc

namespace cairn::transport {

// The largest peer message: an entry of 16 MiB plus a generous allowance for its envelope.
inline constexpr int kMessageBytesMax = 24 << 20;
// The interval of keepalive pings on an idle connection between peers.
inline constexpr int kKeepaliveMs = 3000;

struct GrpcTransportOptions {
  std::string snapshot_directory;          // received snapshots are assembled here
  size_t send_queue_bytes_max = 32 << 20;  // per peer
  size_t snapshot_chunk_bytes = 1 << 20;
  // A snapshot is refused if it would leave fewer free bytes than this on the file system.
  uint64_t snapshot_free_bytes_min = 64 << 20;
  // How peers are called, and by which certificates callers are known. With it, a node is who its
  // certificate says: what a caller says of itself must agree. Null: no TLS, and a caller that
  // knows the cluster's id is believed.
  security::TlsPtr tls;
  FileSystem* file_system = nullptr;  // null: the operating system's; must outlive the transport
};

// Threads: each peer has one long-lived stream for messages. The thread that calls Send writes to
// the stream when it is idle; gRPC's threads write when it is busy. One thread does retries. Each
// snapshot that is sent has a thread (two at most), and so has the snapshot that is received. The
// handler is called without a lock held.
//
// Shutdown order: Shutdown of the transport, then shutdown of the server. Then both may be
// destroyed, the server before the transport, because the server holds the transport's service.
class GrpcTransport : public Transport {
 public:
  // The gRPC service. Register it with the node's server before the server starts.
  virtual grpc::Service* service() = 0;
  // Configures the server that carries the service, and with it the port for peers and clients:
  // sets the message size, and permits any number of keepalive pings.
  virtual void ConfigureServer(grpc::ServerBuilder* builder) = 0;
  // Sets the handler. Call it once before the server starts. The handler must outlive Shutdown.
  virtual void SetHandler(Handler* handler) = 0;
  // Ends the streams from and to nodes whose certificates are not good any more. Not on a thread of
  // gRPC.
  virtual void RecheckPeers() = 0;
  // Ends all streams and calls and waits for them. No callback runs after Shutdown, so a call made
  // after Shutdown never gets its callback. A call in progress ends with CANCELLED or UNAVAILABLE.
  // Do not call Shutdown from a callback.
  virtual void Shutdown() = 0;

  // The number of messages dropped instead of sent since the start, over all peers.
  virtual uint64_t messages_dropped() const = 0;
  // Whether each member has accepted the stream of messages to it.
  virtual std::map<MemberId, bool> connections() const = 0;
};

// The destructor calls Shutdown.
std::unique_ptr<GrpcTransport> NewGrpcTransport(GrpcTransportOptions options);

}  // namespace cairn::transport
