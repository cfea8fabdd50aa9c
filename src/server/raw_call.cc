#include "server/raw_call.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <string>
#include <utility>

#include "rpc/proto_convert.h"
#include "server/convert.h"
#include "server/limits.h"
#include "server/principal.h"
#include "server/token_judge.h"

namespace cairn::server {

Result<CallContext> ContextOf(const grpc::CallbackServerContext& context, const ServiceHost& host) {
  CallContext call;
  call.connection = std::hash<std::string>()(context.peer());
  const auto& metadata = context.client_metadata();
  call.address = AddressOfPeer(context.peer());
  if (host.tls == nullptr) {
    if (metadata.contains(security::kAuthorizationMetadata)) {
      return Status(StatusCode::kUnauthenticated,
                    "this node does not speak TLS, and takes no tokens: whoever listens may know "
                    "this one now, so revoke it (cairn token revoke)");
    }
    call.principal = PrincipalOfPeer(context.peer());
  } else {
    ASSIGN_OR_RETURN(const security::CertifiedName caller,
                     CallerOf(context, *context.auth_context(), host.tls.get(), host.tokens));
    call.principal = PrincipalOf(caller);
  }
  if (const auto found = metadata.find(rpc::kForwardedMetadata); found != metadata.end()) {
    call.forwarded = true;
    call.relayed = metadata.contains(kRelayMetadata);
    const char* const end = found->second.data() + found->second.size();
    const auto parsed = std::from_chars(found->second.data(), end, call.forwarder_cluster_id);
    if (parsed.ec != std::errc() || parsed.ptr != end) {
      return InvalidArgument("metadata cairn-forwarded must hold a cluster id");
    }
    if (const auto named = metadata.find(kPrincipalMetadata); named != metadata.end()) {
      call.principal.assign(named->second.data(), named->second.size());
      call.address.clear();  // of the node
    }
  }
  if (const auto found = metadata.find(rpc::kRequestIdMetadata); found != metadata.end()) {
    ASSIGN_OR_RETURN(call.request_id,
                     ParseRequestId(std::string(found->second.data(), found->second.size())));
  }
  const auto deadline = context.deadline();
  if (deadline != std::chrono::system_clock::time_point::max()) {
    const int64_t at_ms =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline.time_since_epoch()).count();
    const int64_t left_ms = std::clamp<int64_t>(at_ms - host.clock->WallNowMs(), 0, kTimeoutMsMax);
    call.deadline = host.clock->SteadyNow() + std::chrono::milliseconds(left_ms);
  }
  return call;
}

void PassedOn::AddTo(grpc::ClientContext* context) const {
  context->AddMetadata(rpc::kForwardedMetadata, std::to_string(cluster_id));
  context->AddMetadata(kPrincipalMetadata, principal);
}

Status CheckForwarder(const CallContext& call, const node::Replica& replica) {
  if (!call.forwarded) return OkStatus();
  const uint64_t here = replica.status().cluster_id;
  if (call.forwarder_cluster_id == here) return OkStatus();
  return Unavailable("forwarded by a node of cluster " + ClusterIdText(call.forwarder_cluster_id) +
                     "; this node is of cluster " + ClusterIdText(here))
      .With(Outcome::kNotApplied);
}

grpc::Status ToGrpc(const Status& status, grpc::CallbackServerContext* context) {
  if (status.ok()) return grpc::Status::OK;
  v1::ErrorDetail detail;
  rpc::ToProto(status, &detail);
  context->AddTrailingMetadata(rpc::kErrorMetadata, detail.SerializeAsString());
  if (!detail.leader_address().empty()) {
    context->AddTrailingMetadata(rpc::kLeaderMetadata, detail.leader_address());
  }
  return {static_cast<grpc::StatusCode>(status.code()),
          rpc::CutText(rpc::Utf8OrQuestionMarks(status.message()), rpc::kErrorTextBytesMax)};
}

FlatBytes::FlatBytes(const grpc::ByteBuffer& bytes) {
  if (!bytes.TrySingleSlice(&slice_).ok()) bytes.DumpToSingleSlice(&slice_);
}

Status UnaryCall::HoldAnswer(size_t bytes) {
  if (bytes <= kSmallAnswerBytes || result_.TryResize(bytes)) return OkStatus();
  return ResourceExhausted("applied, but too many results wait for their clients to take them")
      .With(Outcome::kApplied)
      .With(Reason::kResultTooLarge);
}

Status Malformed(const std::string& type) {
  return InvalidArgument("the bytes are no valid " + type +
                         " (text must be UTF-8; other bytes go into a blob)");
}

}  // namespace cairn::server
