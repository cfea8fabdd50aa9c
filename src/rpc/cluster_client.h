// ClusterClient: a client for tools, which asks one node about itself and its cluster. Calls block
// the caller.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "cairn/v1/cluster.grpc.pb.h"
#include "cairn/v1/database.grpc.pb.h"
#include "security/tls.h"

namespace cairn::rpc {

// Thread-safe. Each call goes to the one endpoint and fails with gRPC's status; nothing is retried.
class ClusterClient {
 public:
  // The endpoint must pass CheckEndpoint.
  ClusterClient(const std::string& endpoint, const security::TlsPtr& tls);

  Result<v1::StatusResponse> Status(std::chrono::milliseconds timeout);

  // The node that is asked forwards the change to the leader. `progress` is called on this thread.
  cairn::Status ChangeMembership(const v1::ChangeMembershipRequest& request,
                                 std::chrono::milliseconds timeout,
                                 const std::function<void(const std::string&)>& progress);
  // The same for a caller that may cancel. The context holds the deadline.
  cairn::Status ChangeMembership(grpc::ClientContext* context,
                                 const v1::ChangeMembershipRequest& request,
                                 const std::function<void(const std::string&)>& progress);
  // Returns the node id of the new leader.
  Result<uint64_t> TransferLeadership(uint64_t node_id, std::chrono::milliseconds timeout);
  // Returns the feature level of the cluster afterwards.
  Result<uint64_t> RaiseLevel(std::chrono::milliseconds timeout);

  Result<v1::GetVersionResponse> GetVersion(const v1::GetVersionRequest& request,
                                            std::chrono::milliseconds timeout);
  Result<v1::GetTransactionResponse> GetTransaction(const v1::GetTransactionRequest& request,
                                                    std::chrono::milliseconds timeout);

  Result<v1::ListRetainedResponse> ListRetained(std::chrono::milliseconds timeout);

 private:
  std::unique_ptr<v1::Cluster::Stub> cluster_;
  std::unique_ptr<v1::Database::Stub> database_;
};

}  // namespace cairn::rpc
