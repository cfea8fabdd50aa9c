#include "client/call_table.h"

#include <algorithm>
#include <utility>

#include "rpc/proto_convert.h"

namespace cairn::client {
namespace {

// How long the client does not try a leader that it could not reach. The other nodes may still name
// that leader, and forward requests that the client cannot bring there.
constexpr SteadyTime kAvoid = std::chrono::milliseconds(500);
// The least time between two switches. Without it, two nodes that disagree about the leader would
// make the client switch back and forth.
constexpr SteadyTime kSwitchInterval = std::chrono::milliseconds(50);

Status Closed() { return Cancelled("the client is being closed"); }

rpc::Retrier::Options BoundsOf(const ClientOptions& options) {
  rpc::Retrier::Options bounds;
  bounds.calls_max = options.inflight_max;
  bounds.stopped = Closed();
  return bounds;
}

template <class Request>
void SetName(const rpc::Retrier::Call& call, Request* request) {
  request->mutable_request_id()->set_session(call.session);
  request->mutable_request_id()->set_sequence(call.sequence);
  request->set_acknowledged_below(call.acknowledged_below);
}

// Writes the name of a write into the field of its kind.
void SetName(const rpc::Retrier::Call& call, v1::SessionRequest* request) {
  switch (request->kind_case()) {
    case v1::SessionRequest::kExecute: return SetName(call, request->mutable_execute());
    case v1::SessionRequest::kPrepare: return SetName(call, request->mutable_prepare());
    case v1::SessionRequest::kCommit: return SetName(call, request->mutable_commit());
    case v1::SessionRequest::kRollback: return SetName(call, request->mutable_rollback());
    case v1::SessionRequest::kOpenSession: {
      v1::RequestId* id = request->mutable_open_session()->mutable_request_id();
      id->set_session(call.session);
      id->set_sequence(call.sequence);
      return;
    }
    default: return;
  }
}

bool IsWrite(const v1::SessionRequest& request) {
  switch (request.kind_case()) {
    case v1::SessionRequest::kExecute:
    case v1::SessionRequest::kPrepare:
    case v1::SessionRequest::kCommit:
    case v1::SessionRequest::kRollback:
    case v1::SessionRequest::kOpenSession: return true;
    default: return false;
  }
}

}  // namespace

CallTable::CallTable(ClientOptions options, security::TlsPtr tls)
    : options_(std::move(options)),
      tls_(std::move(tls)),
      clock_(&SystemClock()),
      timers_(clock_),
      retrier_(this, &timers_, clock_, BoundsOf(options_)) {}

CallTable::~CallTable() {
  retrier_.Stop();
  std::vector<std::shared_ptr<rpc::SessionChannel>> channels;
  {
    MutexLock lock(mutex_);
    closing_ = true;
    channels = channels_;
  }
  for (const auto& channel : channels) channel->Close();
  for (const auto& channel : channels) channel->AwaitEnd();
  timers_.Stop();  // answers the calls that waited for a retry
}

void CallTable::Start(v1::SessionRequest request, Done done) {
  auto call = std::make_shared<Call>();
  call->write = IsWrite(request);
  call->request = std::move(request);
  call->deadline = clock_->SteadyNow() + options_.timeout;
  call->session_by = call->deadline;
  call->done = std::move(done);
  retrier_.Start(call);
}

CallTable::CallPtr CallTable::NewOpening() {
  auto call = std::make_shared<Call>();
  call->request.mutable_open_session();
  return call;
}

void CallTable::Send(const CallPtr& call) {
  const std::shared_ptr<rpc::SessionChannel> channel = PickChannel();
  if (channel == nullptr) return retrier_.Finish(call, Closed());
  v1::SessionRequest request = static_cast<const Call&>(*call).request;
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(call->deadline - clock_->SteadyNow()).count();
  request.set_timeout_ms(static_cast<uint32_t>(std::max<int64_t>(1, left)));
  if (call->write) SetName(*call, &request);
  channel->Send(std::move(request), call->deadline,
                [this, call](const Status& status, v1::SessionResponse* response) {
                  if (status.ok() && response->has_error()) {
                    Settle(call, rpc::FromProto(response->error()), nullptr);
                  } else {
                    Settle(call, status, response);
                  }
                });
}

void CallTable::Settle(const CallPtr& call, Status status, v1::SessionResponse* response) {
  if (status.leader_hint()) OnLeader(*status.leader_hint());
  static_cast<Call&>(*call).response = response;
  retrier_.Settle(call, std::move(status));
}

void CallTable::Answer(const CallPtr& call, Status status) {
  auto& answered = static_cast<Call&>(*call);
  answered.done(status, status.ok() ? answered.response : nullptr);
}

std::shared_ptr<rpc::SessionChannel> CallTable::PickChannel() {
  MutexLock lock(mutex_);
  if (closing_) return nullptr;
  if (channel_ != nullptr && !channel_->broken()) return channel_;
  const SteadyTime now = clock_->SteadyNow();
  if (channel_ != nullptr) {
    if (channel_->endpoint() == leader_) {
      avoid_ = std::exchange(leader_, "");
      avoid_until_ = now + kAvoid;
    }
    const bool stay = options_.pin_endpoint && channel_->ready();
    if (!stay) next_endpoint_ = (next_endpoint_ + 1) % options_.endpoints.size();
  }
  std::erase_if(channels_, [](const auto& channel) { return channel->ended(); });
  rpc::SessionChannel::Options options;
  options.endpoint = leader_.empty() ? options_.endpoints[next_endpoint_] : leader_;
  options.tls = tls_;
  options.inflight_max = options_.inflight_max + 1;  // and the opening of the session
  options.on_leader = [this](const LeaderHint& leader) { OnLeader(leader); };
  channel_ = rpc::SessionChannel::Open(std::move(options), &timers_, clock_);
  channels_.push_back(channel_);
  return channel_;
}

void CallTable::OnLeader(const LeaderHint& leader) {
  if (options_.pin_endpoint || leader.address.empty()) return;
  std::shared_ptr<rpc::SessionChannel> old;
  {
    MutexLock lock(mutex_);
    const SteadyTime now = clock_->SteadyNow();
    if (leader.address == avoid_ && now < avoid_until_) return;
    if (channel_ == nullptr || channel_->endpoint() == leader.address) return;
    if (now - last_switch_ < kSwitchInterval) return;
    last_switch_ = now;
    leader_ = leader.address;
    old = std::exchange(channel_, nullptr);
  }
  old->Retire();  // requests that were sent there are still answered there
}

std::string CallTable::Endpoint() {
  MutexLock lock(mutex_);
  return channel_ != nullptr ? channel_->endpoint() : options_.endpoints[next_endpoint_];
}

}  // namespace cairn::client
