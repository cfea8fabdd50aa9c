// Converts between the structs of transport.h and the protobuf messages of
// cairn/internal/peer.proto.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "base/result.h"
#include "cairn/internal/peer.grpc.pb.h"
#include "security/tls.h"
#include "transport/incoming_snapshot.h"
#include "transport/transport.h"

namespace cairn::transport {

namespace pb = ::cairn::internal;

grpc::Status ToGrpc(const Status& status);
Status FromGrpc(const grpc::Status& status);

void FillHello(const Identity& self, MemberId target, pb::Hello* out);
Identity IdentityOf(const pb::Hello& hello);
// Runs CheckCaller on the fields of the hello.
Status CheckHello(const pb::Hello& hello, const Identity& self);

void FillProbeReply(const ProbeReply& reply, pb::ProbeResponse* out);
Result<ProbeReply> ParseProbeReply(const pb::ProbeResponse& response);

void FillJoinRequest(const JoinRequest& request, pb::JoinRequest* out);
JoinRequest ParseJoinRequest(const pb::JoinRequest& request);
void FillJoinReply(const JoinReply& reply, pb::JoinResponse* out);
Result<JoinReply> ParseJoinReply(const pb::JoinResponse& response);

struct SnapshotHeader {
  GroupId group;
  raft::SnapshotMeta meta;
  uint64_t size_bytes = 0;
  uint64_t copy_id = 0;
};
void FillSnapshotHeader(const SnapshotHeader& header, pb::SnapshotHeader* out);
Result<SnapshotHeader> ParseSnapshotHeader(const pb::SnapshotHeader& header);
SnapshotKey KeyOf(const SnapshotHeader& header, uint64_t cluster_id);

// Makes a separate connection to a peer. Uses do not share channels, so a snapshot does not delay
// messages, and a failed attempt of one use does not delay another use. With TLS the peer's
// certificate must name the node `node_id`; 0: any node of the cluster.
std::shared_ptr<grpc::Channel> NewPeerChannel(const std::string& address,
                                              const security::TlsPtr& tls, uint64_t node_id = 0);

// The deadline uses the steady clock, so a jump of the system's clock neither shortens nor extends
// it.
gpr_timespec DeadlineAfter(SteadyTime timeout);

}  // namespace cairn::transport
