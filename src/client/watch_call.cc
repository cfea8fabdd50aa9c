#include "client/watch_call.h"

#include <utility>

#include "rpc/endpoint.h"
#include "rpc/proto_convert.h"

namespace cairn::client {

WatchCall::WatchCall(const std::string& endpoint, const v1::WatchRequest& request)
    : stub_(v1::Database::NewStub(rpc::NewChannel(endpoint))), request_(request) {}

std::shared_ptr<WatchCall> WatchCall::Start(const std::string& endpoint,
                                            const v1::WatchRequest& request) {
  std::shared_ptr<WatchCall> call(new WatchCall(endpoint, request));
  call->self_ = call;
  call->stub_->async()->Watch(&call->context_, &call->request_, call.get());
  call->AddHold();  // for the reads that begin outside of gRPC's callbacks
  call->StartRead(&call->incoming_);
  call->StartCall();
  return call;
}

Result<v1::WatchResponse> WatchCall::Next(SteadyTime by, v1::WatchEnd* end) {
  v1::WatchResponse response;
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
  StartRead(&incoming_);
  return response;
}

void WatchCall::Cancel() {
  context_.TryCancel();
  {
    MutexLock lock(mutex_);
    cancelled_ = true;
    // Otherwise a read is under way, and its end gives the hold up.
    if (!std::exchange(has_response_, false)) return;
  }
  RemoveHold();
}

void WatchCall::OnReadDone(bool ok) {
  {
    MutexLock lock(mutex_);
    has_response_ = ok && !cancelled_;
    if (has_response_) {
      changed_.NotifyAll();
      return;
    }
  }
  RemoveHold();
}

void WatchCall::OnDone(const grpc::Status& status) {
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

}  // namespace cairn::client
