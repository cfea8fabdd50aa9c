// MembershipStream: the answer to an operator who changes the membership.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/mutex.h"
#include "base/status.h"
#include "cairn/v1/cluster.pb.h"
#include "security/tls.h"
#include "server/raw_call.h"

namespace cairn::server {

// Streams lines of progress to the operator, and then the verdict. The stream keeps itself alive
// until gRPC is done with it. Thread-safe.
class MembershipStream final : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                               public std::enable_shared_from_this<MembershipStream> {
 public:
  explicit MembershipStream(grpc::CallbackServerContext* context) : context_(context) {}

  // Call once, before gRPC is given this.
  void Start() { self_ = shared_from_this(); }
  // `call` is called once if the client goes away before it has the verdict.
  void OnClientGone(std::function<void()> call);

  // Of lines that wait to be sent, the oldest are dropped past a bound.
  void Progress(const std::string& line);
  // The first verdict counts.
  void Done(const Status& status);

  void OnWriteDone(bool ok) override;
  // The change goes on after its client has gone, unless another change takes its place. Nobody
  // hears of it on this stream any more.
  void OnCancel() override;
  void OnDone() override { self_.reset(); }

 private:
  void Add(v1::ChangeMembershipResponse response);
  // Sends the next line or the verdict, unless a write is in progress.
  void Advance();

  grpc::CallbackServerContext* const context_;
  std::shared_ptr<MembershipStream> self_;
  grpc::ByteBuffer outgoing_;
  Mutex mutex_;
  std::deque<v1::ChangeMembershipResponse> lines_ CAIRN_GUARDED_BY(mutex_);
  std::optional<Status> verdict_ CAIRN_GUARDED_BY(mutex_);
  std::function<void()> on_client_gone_ CAIRN_GUARDED_BY(mutex_);
  bool gone_ CAIRN_GUARDED_BY(mutex_) = false;
  bool writing_ CAIRN_GUARDED_BY(mutex_) = false;
  bool finished_ CAIRN_GUARDED_BY(mutex_) = false;
};

// Makes the same call at the leader, and gives the leader's lines and verdict to `to`. The call
// ends when the client goes, and when `timeout` is over.
void RelayMembershipChange(const std::string& leader, const security::TlsPtr& tls,
                           const PassedOn& passed_on, v1::ChangeMembershipRequest request,
                           std::chrono::milliseconds timeout, std::shared_ptr<MembershipStream> to);

}  // namespace cairn::server
