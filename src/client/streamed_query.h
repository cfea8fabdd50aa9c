// StreamedQuery: one read by the Query call, for a result that does not fit in one message.
#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <string>

#include "base/clock.h"
#include "cairn/client.h"
#include "cairn/v1/database.grpc.pb.h"
#include "security/tls.h"

namespace cairn::client {

// Collects the rows in memory, up to a bound. The object keeps itself alive until `done` has
// returned.
class StreamedQuery final : public grpc::ClientReadReactor<v1::QueryResponse> {
 public:
  // Called once, on a thread of gRPC.
  using Done = std::function<void(Result<QueryResult>)>;

  StreamedQuery(const std::string& endpoint, const security::TlsPtr& tls, v1::QueryRequest request,
                size_t bytes_max, Done done);

  // Called once. `timeout` bounds the whole read.
  static void Start(std::shared_ptr<StreamedQuery> query, SteadyTime timeout);
  // Called from any thread. `done` is still called.
  void Cancel() { context_.TryCancel(); }

 private:
  void OnReadDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

  const std::unique_ptr<v1::Database::Stub> stub_;
  const size_t bytes_max_;
  Done done_;
  grpc::ClientContext context_;
  v1::QueryRequest request_;
  v1::QueryResponse response_;
  QueryResult result_;
  size_t bytes_ = 0;
  std::shared_ptr<StreamedQuery> self_;
};

}  // namespace cairn::client
