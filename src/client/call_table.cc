#include "client/call_table.h"

#include <algorithm>
#include <utility>

#include "client/proto_convert.h"

namespace cairn::client {
namespace {

// How long a leader's address that could not be reached is left alone: the other nodes may still
// name it, and forward for us what we cannot bring there.
constexpr SteadyTime kAvoid = std::chrono::milliseconds(500);
// Two nodes that disagree about the leader must not make us run to and fro.
constexpr SteadyTime kSwitchInterval = std::chrono::milliseconds(50);

// The id field of whichever kind of write the request is; null for a read.
v1::RequestId* MutableRequestId(v1::SessionRequest* request) {
  switch (request->kind_case()) {
    case v1::SessionRequest::kExecute: return request->mutable_execute()->mutable_request_id();
    case v1::SessionRequest::kPrepare: return request->mutable_prepare()->mutable_request_id();
    case v1::SessionRequest::kCommit: return request->mutable_commit()->mutable_request_id();
    case v1::SessionRequest::kRollback: return request->mutable_rollback()->mutable_request_id();
    case v1::SessionRequest::kOpenSession:
      return request->mutable_open_session()->mutable_request_id();
    default: return nullptr;
  }
}

void SetAcknowledged(v1::SessionRequest* request, uint64_t below) {
  switch (request->kind_case()) {
    case v1::SessionRequest::kExecute:
      request->mutable_execute()->set_acknowledged_below(below);
      break;
    case v1::SessionRequest::kPrepare:
      request->mutable_prepare()->set_acknowledged_below(below);
      break;
    case v1::SessionRequest::kCommit:
      request->mutable_commit()->set_acknowledged_below(below);
      break;
    case v1::SessionRequest::kRollback:
      request->mutable_rollback()->set_acknowledged_below(below);
      break;
    default: break;
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

SteadyTime RetryBackoff(int n) {
  return std::chrono::milliseconds(std::min(50, 1 << std::min(n - 1, 6)));
}

CallTable::CallTable(ClientOptions options)
    : options_(std::move(options)), clock_(&SystemClock()), timers_(clock_) {}

CallTable::~CallTable() {
  std::vector<std::shared_ptr<SessionChannel>> channels;
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
    channels = channels_;
  }
  for (const auto& channel : channels) channel->Close();
  for (const auto& channel : channels) channel->AwaitEnd();
  timers_.Stop();  // what waited to be tried again sees closing_
}

void CallTable::Start(v1::SessionRequest request, Done done) {
  auto call = std::make_shared<Call>();
  call->write = IsWrite(request);
  call->request = std::move(request);
  call->deadline = clock_->SteadyNow() + options_.timeout;
  call->done = std::move(done);
  Status refused;
  {
    std::lock_guard lock(mutex_);
    if (inflight_ >= options_.inflight_max) {
      refused = ResourceExhausted("too many requests in flight").With(Outcome::kNotApplied);
    } else {
      ++inflight_;
    }
  }
  if (!refused.ok()) {
    call->done(refused, nullptr);
  } else if (call->write) {
    NameAndTry(call);
  } else {
    Try(call);
  }
}

void CallTable::NameAndTry(const CallPtr& call) {
  bool open = false;
  // Not to be seen from the call: whoever opens the session names those that wait, and tries them.
  bool named = false;
  {
    std::lock_guard lock(mutex_);
    if (session_.state() == RequestSession::State::kOpen || closing_) {
      call->session = session_.name();
      call->sequence = session_.Begin();
      named = true;
    } else {
      waiting_.push_back(call);
      open = session_.state() == RequestSession::State::kNew;
      session_.set_state(RequestSession::State::kOpening);
    }
  }
  if (named) Try(call);
  if (open) OpenSession(call->deadline);
}

void CallTable::OpenSession(SteadyTime deadline) {
  auto call = std::make_shared<Call>();
  call->write = true;
  call->deadline = deadline;
  call->sequence = 1;
  {
    std::lock_guard lock(mutex_);
    call->session = session_.name();
    ++inflight_;
  }
  call->request.mutable_open_session();
  call->done = [this, name = call->session](const Status& status, v1::SessionResponse*) {
    OnSessionOpened(name, status);
  };
  Try(call);
}

void CallTable::OnSessionOpened(const std::string& session, const Status& status) {
  std::vector<CallPtr> waiting;
  {
    std::lock_guard lock(mutex_);
    if (session_.name() == session) {
      session_.set_state(status.ok() ? RequestSession::State::kOpen : RequestSession::State::kNew);
    }
    waiting.swap(waiting_);
  }
  for (const CallPtr& call : waiting) {
    const bool late = clock_->SteadyNow() >= call->deadline;
    const bool hopeless =
        status.code() != StatusCode::kUnavailable && status.code() != StatusCode::kDeadlineExceeded;
    if (!status.ok() && (late || hopeless)) {
      Finish(call,
             Status(status)
                 .Prefixed("the request waited for its session to be opened")
                 .With(Outcome::kNotApplied),
             nullptr);
    } else {
      NameAndTry(call);
    }
  }
}

void CallTable::Try(const CallPtr& call) {
  std::shared_ptr<SessionChannel> channel = PickChannel();
  const SteadyTime left = call->deadline - clock_->SteadyNow();
  if (channel == nullptr || left.count() <= 0) {
    const Status why = channel == nullptr ? Cancelled("the client is being closed")
                                          : DeadlineExceeded("no answer in time");
    Finish(call, Status(why).With(Outcome::kNotApplied), nullptr);
    return;
  }
  v1::SessionRequest request = call->request;
  request.set_timeout_ms(
      static_cast<uint32_t>(std::chrono::ceil<std::chrono::milliseconds>(left).count()));
  if (v1::RequestId* id = MutableRequestId(&request)) {
    id->set_session(call->session);
    id->set_sequence(call->sequence);
    std::lock_guard lock(mutex_);
    if (call->session == session_.name()) SetAcknowledged(&request, session_.acknowledged_below());
  }
  channel->Send(std::move(request), call->deadline,
                [this, call](const Status& status, v1::SessionResponse* response) {
                  if (status.ok() && response->has_error()) {
                    Settle(call, FromProto(response->error()), nullptr);
                  } else {
                    Settle(call, status, response);
                  }
                });
}

void CallTable::Settle(const CallPtr& call, const Status& status, v1::SessionResponse* response) {
  if (status.ok()) {
    Finish(call, OkStatus(), response);
    return;
  }
  if (status.leader_hint()) OnLeader(*status.leader_hint());
  if (status.outcome() == Outcome::kUnknown) call->maybe_applied = true;
  if (call->write && IsSessionExpired(status)) {
    if (Rename(call)) {
      NameAndTry(call);
    } else {
      Finish(call, status, nullptr);
    }
    return;
  }
  const SteadyTime backoff = RetryBackoff(++call->tries);
  const bool in_time = clock_->SteadyNow() + backoff < call->deadline;
  if (status.code() != StatusCode::kUnavailable || !in_time) {
    Finish(call, status, nullptr);
    return;
  }
  timers_.RunAfter(backoff, [this, call] { Try(call); });
}

bool CallTable::Rename(const CallPtr& call) {
  std::lock_guard lock(mutex_);
  // The first of the session's calls to hear it gives the session up; the others just follow.
  if (call->session == session_.name()) session_.Renew();
  // An earlier try may have been applied before the session was forgotten: under a new name the
  // write could take effect twice.
  if (call->maybe_applied || call->sequence == 1) return false;
  call->sequence = 0;
  return true;
}

void CallTable::Finish(const CallPtr& call, Status status, v1::SessionResponse* response) {
  // Only the replicated result is certain once a try may have been applied.
  if (!status.ok() && call->maybe_applied && status.outcome() != Outcome::kApplied) {
    status = std::move(status).With(Outcome::kUnknown);
  }
  if (!status.ok() && !call->write) status = std::move(status).With(Outcome::kNone);
  {
    std::lock_guard lock(mutex_);
    --inflight_;
    session_.Finished(call->session, call->sequence);
  }
  call->done(status, response);
}

std::shared_ptr<SessionChannel> CallTable::PickChannel() {
  std::lock_guard lock(mutex_);
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
  SessionChannel::Options options;
  options.endpoint = leader_.empty() ? options_.endpoints[next_endpoint_] : leader_;
  options.inflight_max = options_.inflight_max + 1;  // the opening of the session comes on top
  options.on_leader = [this](const LeaderHint& leader) { OnLeader(leader); };
  channel_ = SessionChannel::Open(std::move(options), &timers_, clock_);
  channels_.push_back(channel_);
  return channel_;
}

void CallTable::OnLeader(const LeaderHint& leader) {
  if (options_.pin_endpoint || leader.address.empty()) return;
  std::shared_ptr<SessionChannel> old;
  {
    std::lock_guard lock(mutex_);
    const SteadyTime now = clock_->SteadyNow();
    if (leader.address == avoid_ && now < avoid_until_) return;
    if (channel_ == nullptr || channel_->endpoint() == leader.address) return;
    if (now - last_switch_ < kSwitchInterval) return;
    last_switch_ = now;
    leader_ = leader.address;
    old = std::exchange(channel_, nullptr);
  }
  old->Retire();  // what it was given is still answered there
}

std::string CallTable::Endpoint() {
  std::lock_guard lock(mutex_);
  return channel_ != nullptr ? channel_->endpoint() : options_.endpoints[next_endpoint_];
}

bool IsResultTooLarge(const Status& status) { return status.reason() == Reason::kResultTooLarge; }

bool IsSessionExpired(const Status& status) { return status.reason() == Reason::kSessionExpired; }

}  // namespace cairn::client
