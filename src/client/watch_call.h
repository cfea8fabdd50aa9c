// WatchCall: one stream of a watch.
#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/result.h"
#include "cairn/v1/database.grpc.pb.h"
#include "rpc/endpoint.h"
#include "rpc/proto_convert.h"

namespace cairn::client {

// Thread-safe. Keeps itself alive until gRPC is done with it.
template <class Response>
class WatchCall final : public grpc::ClientReadReactor<Response> {
 public:
  // Begins the call of the stub. What it refers to must live as long as it is held.
  using Begin = std::function<void(v1::Database::Stub* stub, grpc::ClientContext* context,
                                   grpc::ClientReadReactor<Response>* reactor)>;

  static std::shared_ptr<WatchCall> Start(const std::string& endpoint, const security::TlsPtr& tls,
                                          Begin begin) {
    std::shared_ptr<WatchCall> call(new WatchCall(endpoint, tls, std::move(begin)));
    call->self_ = call;
    call->begin_(call->stub_.get(), &call->context_, call.get());
    call->AddHold();  // for the reads that begin outside of gRPC's callbacks
    call->StartRead(&call->incoming_);
    call->StartCall();
    return call;
  }

  // The next response, and the next one is then read. DEADLINE_EXCEEDED if none comes by `by`. Any
  // other error is the end of the call; `end` then says where the node stood.
  Result<Response> Next(SteadyTime by, v1::WatchEnd* end) {
    Response response;
    {
      MutexLock lock(mutex_);
      const auto come = [this]() CAIRN_REQUIRES(mutex_) { return has_response_ || status_; };
      if (!changed_.WaitFor(lock, by - SystemClock().SteadyNow(), come)) {
        return DeadlineExceeded("nothing has come yet");
      }
      if (!has_response_) {
        *end = end_;
        return *status_;
      }
      response.Swap(&incoming_);
      has_response_ = false;
    }
    this->StartRead(&incoming_);
    return response;
  }

  // A response that was read ahead is dropped.
  void Cancel() {
    context_.TryCancel();
    {
      MutexLock lock(mutex_);
      cancelled_ = true;
      // Otherwise a read is under way, and its end gives the hold up.
      if (!std::exchange(has_response_, false)) return;
    }
    this->RemoveHold();
  }

 private:
  WatchCall(const std::string& endpoint, const security::TlsPtr& tls, Begin begin)
      : stub_(v1::Database::NewStub(rpc::NewChannel(endpoint, tls))), begin_(std::move(begin)) {}

  void OnReadDone(bool ok) override {
    {
      MutexLock lock(mutex_);
      has_response_ = ok && !cancelled_;
      if (has_response_) {
        changed_.NotifyAll();
        return;
      }
    }
    this->RemoveHold();
  }

  void OnDone(const grpc::Status& status) override {
    const std::shared_ptr<WatchCall> self = std::move(self_);
    const auto& metadata = context_.GetServerTrailingMetadata();
    v1::ErrorDetail detail;
    if (const auto found = metadata.find(rpc::kErrorMetadata); found != metadata.end()) {
      detail.ParseFromArray(found->second.data(), static_cast<int>(found->second.size()));
    }
    MutexLock lock(mutex_);
    end_.Swap(detail.mutable_watch());
    status_ = rpc::FromGrpc(status, metadata, Outcome::kNone);
    if (status_->ok()) status_ = Unavailable("the node has ended the watch");
    changed_.NotifyAll();
  }

  const std::unique_ptr<v1::Database::Stub> stub_;
  const Begin begin_;
  grpc::ClientContext context_;
  Response incoming_;
  std::shared_ptr<WatchCall> self_;

  Mutex mutex_;
  CondVar changed_;
  bool has_response_ CAIRN_GUARDED_BY(mutex_) = false;  // in incoming_
  bool cancelled_ CAIRN_GUARDED_BY(mutex_) = false;
  std::optional<Status> status_ CAIRN_GUARDED_BY(mutex_);
  v1::WatchEnd end_ CAIRN_GUARDED_BY(mutex_);
};

}  // namespace cairn::client
