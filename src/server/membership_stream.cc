#include "server/membership_stream.h"

#include <utility>

#include "cairn/v1/cluster.grpc.pb.h"
#include "rpc/deadline.h"
#include "rpc/endpoint.h"
#include "rpc/proto_convert.h"
#include "server/raw_call.h"

namespace cairn::server {
namespace {

constexpr size_t kProgressLinesMax = 64;

// The call at the leader. It owns itself until gRPC calls OnDone.
class MembershipRelay final : public grpc::ClientReadReactor<v1::ChangeMembershipResponse> {
 public:
  MembershipRelay(const std::string& leader, const security::TlsPtr& tls, const PassedOn& passed_on,
                  v1::ChangeMembershipRequest request, std::chrono::milliseconds timeout,
                  std::shared_ptr<MembershipStream> to)
      : stub_(v1::Cluster::NewStub(rpc::NewChannel(leader, tls))),
        request_(std::move(request)),
        to_(std::move(to)) {
    passed_on.AddTo(context_.get());
    context_->set_deadline(rpc::DeadlineAfter(timeout));
    stub_->async()->ChangeMembership(context_.get(), &request_, this);
    StartRead(&response_);
    // Set before the call begins: the call may end at once, and this object with it.
    to_->OnClientGone([context = context_] { context->TryCancel(); });
    StartCall();
  }

  void OnReadDone(bool ok) override {
    if (!ok) return;
    if (!response_.progress().empty()) to_->Progress(response_.progress());
    StartRead(&response_);
  }
  void OnDone(const grpc::Status& status) override {
    to_->Done(rpc::FromGrpc(status, context_->GetServerTrailingMetadata(), Outcome::kUnknown));
    delete this;
  }

 private:
  const std::unique_ptr<v1::Cluster::Stub> stub_;
  // Shared with the stream, which may cancel the call when this object is gone.
  const std::shared_ptr<grpc::ClientContext> context_ = std::make_shared<grpc::ClientContext>();
  const v1::ChangeMembershipRequest request_;
  v1::ChangeMembershipResponse response_;
  const std::shared_ptr<MembershipStream> to_;
};

}  // namespace

void MembershipStream::OnClientGone(std::function<void()> call) {
  {
    MutexLock lock(mutex_);
    if (!gone_) {
      on_client_gone_ = std::move(call);
      return;
    }
  }
  call();
}

void MembershipStream::Progress(const std::string& line) {
  v1::ChangeMembershipResponse response;
  response.set_progress(rpc::Utf8OrQuestionMarks(line));
  Add(std::move(response));
}

void MembershipStream::Done(const Status& status) {
  if (status.ok()) {
    v1::ChangeMembershipResponse response;
    response.set_done(true);
    Add(std::move(response));
  }
  {
    MutexLock lock(mutex_);
    if (!verdict_) verdict_ = status;
  }
  Advance();
}

void MembershipStream::OnWriteDone(bool ok) {
  {
    MutexLock lock(mutex_);
    writing_ = false;
    if (!ok) lines_.clear();
  }
  Advance();
}

void MembershipStream::OnCancel() {
  std::function<void()> on_client_gone;
  {
    MutexLock lock(mutex_);
    gone_ = true;
    on_client_gone = std::exchange(on_client_gone_, nullptr);
    lines_.clear();
    if (!verdict_) verdict_ = Cancelled("the client has gone").With(Outcome::kUnknown);
  }
  if (on_client_gone) on_client_gone();
  Advance();
}

void MembershipStream::Add(v1::ChangeMembershipResponse response) {
  {
    MutexLock lock(mutex_);
    if (verdict_) return;
    if (lines_.size() >= kProgressLinesMax) lines_.pop_front();  // later news say more
    lines_.push_back(std::move(response));
  }
  Advance();
}

void MembershipStream::Advance() {
  std::optional<Status> end;
  {
    MutexLock lock(mutex_);
    if (writing_ || finished_) return;
    if (!lines_.empty()) {
      SerializeMessage(lines_.front(), &outgoing_);
      lines_.pop_front();
      writing_ = true;
    } else if (verdict_) {
      finished_ = true;
      end = verdict_;
    } else {
      return;
    }
  }
  if (end) {
    Finish(ToGrpc(*end, context_));
  } else {
    StartWrite(&outgoing_);
  }
}

void RelayMembershipChange(const std::string& leader, const security::TlsPtr& tls,
                           const PassedOn& passed_on, v1::ChangeMembershipRequest request,
                           std::chrono::milliseconds timeout,
                           std::shared_ptr<MembershipStream> to) {
  new MembershipRelay(leader, tls, passed_on, std::move(request), timeout, std::move(to));
}

}  // namespace cairn::server
