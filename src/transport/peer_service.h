// PeerService: the gRPC service that answers this node's peers.
#pragma once

#include <string>

#include "base/file_system.h"
#include "transport/peer_protocol.h"
#include "transport/snapshot_receiver.h"
#include "transport/transport_context.h"

namespace cairn::transport {

// The service must outlive the server that it is registered with. After the context's LiveCount is
// closed, every call is refused with UNAVAILABLE.
class PeerService final : public pb::Peer::CallbackService {
 public:
  PeerService(TransportContext* context, FileSystem* fs, std::string snapshot_directory,
              uint64_t free_bytes_min);

  grpc::ServerBidiReactor<pb::MessagesRequest, pb::MessagesResponse>* Messages(
      grpc::CallbackServerContext* server_context) override;
  grpc::ServerBidiReactor<pb::SnapshotRequest, pb::SnapshotResponse>* Snapshot(
      grpc::CallbackServerContext* server_context) override;
  grpc::ServerUnaryReactor* Probe(grpc::CallbackServerContext* server_context,
                                  const pb::ProbeRequest* request,
                                  pb::ProbeResponse* response) override;
  grpc::ServerUnaryReactor* Join(grpc::CallbackServerContext* server_context,
                                 const pb::JoinRequest* request,
                                 pb::JoinResponse* response) override;

  SnapshotReceiver& snapshots() { return snapshots_; }

 private:
  TransportContext* const context_;
  SnapshotReceiver snapshots_;
};

}  // namespace cairn::transport
