// WatchCall: one stream of a watch.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/result.h"
#include "cairn/v1/database.grpc.pb.h"

namespace cairn::client {

// Thread-safe. Keeps itself alive until gRPC is done with it.
class WatchCall final : public grpc::ClientReadReactor<v1::WatchResponse> {
 public:
  static std::shared_ptr<WatchCall> Start(const std::string& endpoint,
                                          const v1::WatchRequest& request);

  // The next response, and the next one is then read. DEADLINE_EXCEEDED if none comes by `by`. Any
  // other error is the end of the call; `end` then says where the node stood.
  Result<v1::WatchResponse> Next(SteadyTime by, v1::WatchEnd* end);
  // A response that was read ahead is dropped.
  void Cancel();

 private:
  WatchCall(const std::string& endpoint, const v1::WatchRequest& request);
  void OnReadDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

  const std::unique_ptr<v1::Database::Stub> stub_;
  const v1::WatchRequest request_;
  grpc::ClientContext context_;
  v1::WatchResponse incoming_;
  std::shared_ptr<WatchCall> self_;

  Mutex mutex_;
  CondVar changed_;
  bool has_response_ CAIRN_GUARDED_BY(mutex_) = false;  // in incoming_
  bool cancelled_ CAIRN_GUARDED_BY(mutex_) = false;
  std::optional<Status> status_ CAIRN_GUARDED_BY(mutex_);
  v1::WatchEnd end_ CAIRN_GUARDED_BY(mutex_);
};

}  // namespace cairn::client
