// GrpcTransport: the Transport over gRPC, on the same port that serves clients.
#pragma once

#include <memory>
#include <string>

#include "transport/transport.h"

namespace grpc {
class Service;
}

namespace cairn::transport {

struct GrpcTransportOptions {
  std::string snapshot_directory;          // received snapshots are assembled here
  size_t send_queue_bytes_max = 32 << 20;  // per peer
  size_t snapshot_chunk_bytes = 256 << 10;
};

class GrpcTransport : public Transport {
 public:
  // The gRPC service to be registered with the node's server before it starts.
  virtual grpc::Service* service() = 0;
  // The handler, to be set once before the server starts; must outlive Shutdown.
  virtual void SetHandler(Handler* handler) = 0;
  // Ends all streams and calls and waits for them; no callback runs after it.
  virtual void Shutdown() = 0;
};

std::unique_ptr<GrpcTransport> NewGrpcTransport(GrpcTransportOptions options);

}  // namespace cairn::transport
