#include "rpc/cluster_client.h"

#include <utility>

#include "rpc/deadline.h"
#include "rpc/endpoint.h"
#include "rpc/proto_convert.h"

namespace cairn::rpc {
namespace {

template <class Request, class Response, class Method>
Result<Response> Call(const Request& request, std::chrono::milliseconds timeout, Method method) {
  grpc::ClientContext context;
  context.set_deadline(DeadlineAfter(timeout));
  Response response;
  const grpc::Status status = method(&context, request, &response);
  if (!status.ok()) return FromGrpc(status, context.GetServerTrailingMetadata(), Outcome::kUnknown);
  return response;
}

}  // namespace

ClusterClient::ClusterClient(const std::string& endpoint, const security::TlsPtr& tls) {
  const std::shared_ptr<grpc::Channel> channel = NewChannel(endpoint, tls);
  cluster_ = v1::Cluster::NewStub(channel);
  database_ = v1::Database::NewStub(channel);
}

Result<v1::StatusResponse> ClusterClient::Status(std::chrono::milliseconds timeout) {
  return Call<v1::StatusRequest, v1::StatusResponse>(
      {}, timeout, [this](auto* context, const auto& request, auto* response) {
        return cluster_->Status(context, request, response);
      });
}

cairn::Status ClusterClient::ChangeMembership(
    const v1::ChangeMembershipRequest& request, std::chrono::milliseconds timeout,
    const std::function<void(const std::string&)>& progress) {
  grpc::ClientContext context;
  context.set_deadline(DeadlineAfter(timeout));
  return ChangeMembership(&context, request, progress);
}

cairn::Status ClusterClient::ChangeMembership(
    grpc::ClientContext* context, const v1::ChangeMembershipRequest& request,
    const std::function<void(const std::string&)>& progress) {
  const auto stream = cluster_->ChangeMembership(context, request);
  v1::ChangeMembershipResponse response;
  bool done = false;
  while (stream->Read(&response)) {
    if (!response.progress().empty() && progress) progress(response.progress());
    done = response.done();
  }
  const grpc::Status status = stream->Finish();
  if (!status.ok()) {
    return FromGrpc(status, context->GetServerTrailingMetadata(), Outcome::kUnknown);
  }
  if (!done) return Internal("the node ended the call without a verdict").With(Outcome::kUnknown);
  return OkStatus();
}

Result<uint64_t> ClusterClient::TransferLeadership(uint64_t node_id,
                                                   std::chrono::milliseconds timeout) {
  v1::TransferLeadershipRequest transfer;
  transfer.set_node_id(node_id);
  transfer.set_timeout_ms(static_cast<uint32_t>(timeout.count()));
  ASSIGN_OR_RETURN(
      const v1::TransferLeadershipResponse answer,
      (Call<v1::TransferLeadershipRequest, v1::TransferLeadershipResponse>(
          transfer, timeout, [this](auto* context, const auto& request, auto* response) {
            return cluster_->TransferLeadership(context, request, response);
          })));
  return answer.leader_node_id();
}

Result<uint64_t> ClusterClient::RaiseLevel(std::chrono::milliseconds timeout) {
  v1::RaiseLevelRequest raise;
  raise.set_timeout_ms(static_cast<uint32_t>(timeout.count()));
  ASSIGN_OR_RETURN(const v1::RaiseLevelResponse answer,
                   (Call<v1::RaiseLevelRequest, v1::RaiseLevelResponse>(
                       raise, timeout, [this](auto* context, const auto& request, auto* response) {
                         return cluster_->RaiseLevel(context, request, response);
                       })));
  return answer.level();
}

Result<v1::GetVersionResponse> ClusterClient::GetVersion(const v1::GetVersionRequest& request,
                                                         std::chrono::milliseconds timeout) {
  return Call<v1::GetVersionRequest, v1::GetVersionResponse>(
      request, timeout, [this](auto* context, const auto& in, auto* response) {
        return database_->GetVersion(context, in, response);
      });
}

Result<v1::GetTransactionResponse> ClusterClient::GetTransaction(
    const v1::GetTransactionRequest& request, std::chrono::milliseconds timeout) {
  return Call<v1::GetTransactionRequest, v1::GetTransactionResponse>(
      request, timeout, [this](auto* context, const auto& in, auto* response) {
        return database_->GetTransaction(context, in, response);
      });
}

Result<v1::ListRetainedResponse> ClusterClient::ListRetained(std::chrono::milliseconds timeout) {
  v1::ListRetainedRequest list;
  list.set_timeout_ms(static_cast<uint32_t>(timeout.count()));
  return Call<v1::ListRetainedRequest, v1::ListRetainedResponse>(
      list, timeout, [this](auto* context, const auto& request, auto* response) {
        return database_->ListRetained(context, request, response);
      });
}

}  // namespace cairn::rpc
