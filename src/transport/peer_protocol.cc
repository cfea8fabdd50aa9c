#include "transport/peer_protocol.h"

#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "raft/configuration_codec.h"
#include "security/connection_error.h"
#include "transport/grpc_transport.h"
#include "transport/identity_check.h"

namespace cairn::transport {

grpc::Status ToGrpc(const Status& status) {
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), status.message());
}

Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return OkStatus();
  const int code = status.error_code();
  const bool known = code > 0 && code <= static_cast<int>(StatusCode::kUnauthenticated);
  Status out(known ? static_cast<StatusCode>(code) : StatusCode::kUnknown,
             security::ConnectionErrorInWords(status.error_message()));
  // gRPC reports the cause of a failed connection only in its message, which ends in the system's
  // error text.
  const bool refused = out.code() == StatusCode::kUnavailable &&
                       out.message().find(std::strerror(ECONNREFUSED)) != std::string::npos;
  return refused ? std::move(out).With(Reason::kConnectionRefused) : out;
}

namespace {

void FillStart(const Start& start, pb::Start* out) {
  const auto add = [out](const raft::Boot& boot) {
    pb::Boot* added = out->add_boots();
    added->set_count(boot.count);
    added->set_nonce(boot.nonce);
  };
  for (const raft::Boot& boot : start.earlier) add(boot);
  add(start.boot);
  out->set_log_term(start.term.value());
  out->set_log_last(start.last.value());
}

Start StartOf(const pb::Start& start) {
  Start out;
  for (const pb::Boot& boot : start.boots()) out.earlier.push_back({boot.count(), boot.nonce()});
  if (!out.earlier.empty()) {
    out.boot = out.earlier.back();
    out.earlier.pop_back();
  }
  out.term = Term(start.log_term());
  out.last = LogIndex(start.log_last());
  return out;
}

}  // namespace

void FillHello(const Identity& self, MemberId target, pb::Hello* out) {
  out->set_protocol_version(kProtocolVersion);
  out->set_cluster_id(self.cluster_id);
  out->set_node_id(self.node_id);
  out->set_member_id(self.member.value());
  out->set_target_member_id(target.value());
  out->set_address(self.address);
  out->set_machine(self.engine.machine);
  out->set_engine(self.engine.build);
  out->set_level_max(self.level_max);
  FillStart(self.start, out->mutable_start());
}

Identity IdentityOf(const pb::Hello& hello) {
  Identity identity;
  identity.cluster_id = hello.cluster_id();
  identity.node_id = hello.node_id();
  identity.member = MemberId(hello.member_id());
  identity.address = hello.address();
  identity.engine = {hello.machine(), hello.engine()};
  identity.level_max = hello.level_max();
  identity.start = StartOf(hello.start());
  return identity;
}

Status CheckHello(const pb::Hello& hello, const Identity& self) {
  return CheckCaller(hello.protocol_version(), IdentityOf(hello),
                     MemberId(hello.target_member_id()), self);
}

void FillProbeReply(const ProbeReply& reply, pb::ProbeResponse* out) {
  out->set_protocol_version(kProtocolVersion);
  FillHello(reply.identity, MemberId(), out->mutable_identity());
  out->set_nonce(reply.identity.nonce);
  out->set_stage(static_cast<uint32_t>(reply.stage));
  for (const auto& [node_id, address] : reply.listed_peers) {
    (*out->mutable_listed_peers())[node_id] = address;
  }
  out->set_leader_node_id(reply.leader_node_id);
  out->set_leader_address(reply.leader_address);
  if (!reply.config.info.empty()) out->set_config(raft::EncodeConfiguration(reply.config));
  out->set_config_index(reply.config_index.value());
}

Result<ProbeReply> ParseProbeReply(const pb::ProbeResponse& response) {
  RETURN_IF_ERROR(CheckProtocolVersion(response.protocol_version()));
  if (response.stage() > static_cast<uint32_t>(LifeStage::kStarted)) {
    return InvalidArgument("the peer answered with an unknown life stage " +
                           std::to_string(response.stage()));
  }
  ProbeReply reply;
  reply.identity = IdentityOf(response.identity());
  reply.identity.nonce = response.nonce();
  reply.stage = static_cast<LifeStage>(response.stage());
  for (const auto& [node_id, address] : response.listed_peers()) {
    reply.listed_peers.emplace(node_id, address);
  }
  reply.leader_node_id = response.leader_node_id();
  reply.leader_address = response.leader_address();
  if (!response.config().empty()) {
    auto config = raft::DecodeConfiguration(response.config());
    if (!config) return InvalidArgument("the peer answered with a malformed configuration");
    reply.config = *std::move(config);
    reply.config_index = LogIndex(response.config_index());
  }
  return reply;
}

void FillJoinRequest(const JoinRequest& request, pb::JoinRequest* out) {
  out->set_protocol_version(kProtocolVersion);
  out->set_node_id(request.node_id);
  out->set_nonce(request.nonce);
  out->set_address(request.address);
  out->set_machine(request.engine.machine);
  out->set_engine(request.engine.build);
  out->set_level_max(request.level_max);
}

JoinRequest ParseJoinRequest(const pb::JoinRequest& request) {
  return {request.node_id(),
          request.nonce(),
          request.address(),
          {request.machine(), request.engine()},
          request.level_max()};
}

void FillJoinReply(const JoinReply& reply, pb::JoinResponse* out) {
  out->set_cluster_id(reply.cluster_id);
  out->set_member_id(reply.member.value());
  out->set_config(raft::EncodeConfiguration(reply.config));
}

Result<JoinReply> ParseJoinReply(const pb::JoinResponse& response) {
  std::optional<raft::Configuration> config = raft::DecodeConfiguration(response.config());
  if (!config || response.cluster_id() == 0 || response.member_id() == 0) {
    return InvalidArgument("the peer answered a join with malformed bytes");
  }
  return JoinReply{response.cluster_id(), MemberId(response.member_id()), *std::move(config)};
}

void FillSnapshotHeader(const SnapshotHeader& header, pb::SnapshotHeader* out) {
  out->set_group_id(header.group.value());
  out->set_index(header.meta.index.value());
  out->set_term(header.meta.term.value());
  out->set_config(raft::EncodeConfiguration(header.meta.config));
  out->set_config_index(header.meta.config_index.value());
  out->set_size_bytes(header.size_bytes);
  out->set_copy_id(header.copy_id);
}

Result<SnapshotHeader> ParseSnapshotHeader(const pb::SnapshotHeader& header) {
  std::optional<raft::Configuration> config = raft::DecodeConfiguration(header.config());
  if (!config || header.group_id() == 0 || header.index() == 0 || header.term() == 0 ||
      header.config_index() > header.index()) {
    return InvalidArgument("malformed snapshot header");
  }
  SnapshotHeader out;
  out.group = GroupId(header.group_id());
  out.meta.index = LogIndex(header.index());
  out.meta.term = Term(header.term());
  out.meta.config = *std::move(config);
  out.meta.config_index = LogIndex(header.config_index());
  out.size_bytes = header.size_bytes();
  out.copy_id = header.copy_id();
  return out;
}

SnapshotKey KeyOf(const SnapshotHeader& header, uint64_t cluster_id) {
  return {cluster_id,       header.group,   header.meta.index,
          header.meta.term, header.copy_id, header.size_bytes};
}

std::shared_ptr<grpc::Channel> NewPeerChannel(const std::string& address,
                                              const security::TlsPtr& tls, uint64_t node_id) {
  grpc::ChannelArguments args;
  args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  args.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  args.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 500);
  // This also bounds the duration of one attempt. Otherwise a host that drops packets would hold it
  // for 20 s.
  args.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);
  // A connection that died silently is noticed within 5 s. Raft's heartbeats decide long before
  // that; the keepalive only frees what waits on a dead socket.
  args.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  args.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 2000);
  args.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // Names are resolved anew after a failed attempt. By default gRPC does not do that for 30 s.
  args.SetInt(GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, 1000);
  args.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  args.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  args.SetMaxReceiveMessageSize(kMessageBytesMax);
  args.SetMaxSendMessageSize(kMessageBytesMax);
  return grpc::CreateCustomChannel(
      address, tls == nullptr ? grpc::InsecureChannelCredentials() : tls->ForChannel(node_id),
      args);
}

gpr_timespec DeadlineAfter(SteadyTime timeout) {
  return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                      gpr_time_from_nanos(timeout.count(), GPR_TIMESPAN));
}

}  // namespace cairn::transport
