#include "server/router.h"

#include <algorithm>
#include <utility>

#include "client/call_table.h"
#include "client/proto_convert.h"
#include "server/convert.h"

namespace cairn::server {
namespace {

using state_machine::Command;
using state_machine::CommandResult;

size_t ValueBytes(const Value& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return text->size();
  if (const auto* blob = std::get_if<Blob>(&value)) return blob->bytes.size();
  return sizeof(value);
}

size_t StatementBytes(const Statement& statement) {
  size_t bytes = sizeof(statement) + statement.sql.size();
  for (const Value& value : statement.positional) bytes += ValueBytes(value);
  for (const NamedValue& named : statement.named)
    bytes += named.name.size() + ValueBytes(named.value);
  return bytes;
}

size_t CommandBytes(const Command& command) {
  size_t bytes = sizeof(command);
  if (const auto* execute = std::get_if<state_machine::Execute>(&command.operation)) {
    for (const Statement& statement : execute->statements) bytes += StatementBytes(statement);
  } else if (const auto* prepare = std::get_if<state_machine::Prepare>(&command.operation)) {
    bytes += StatementBytes(prepare->statement);
  }
  return bytes;
}

bool IsExpired(const Result<CommandResult>& result) {
  return client::IsSessionExpired(result.ok() ? result->status : result.status());
}

}  // namespace

Router::Router(node::Replica* replica, client::TimerQueue* timers, Clock* clock, Options options)
    : replica_(replica), timers_(timers), clock_(clock), options_(std::move(options)) {}

Router::~Router() {
  Stop();
  Close();
}

void Router::Write(Command command, SteadyTime deadline, bool forwarded, node::CommandDone done) {
  if (forwarded) {
    replica_->Propose(std::move(command), deadline, std::move(done));
    return;
  }
  auto call = std::make_shared<Call>();
  call->bytes = CommandBytes(command);
  call->command = std::move(command);
  call->deadline = deadline;
  call->leader_by = clock_->SteadyNow() + options_.leader_wait;
  call->done = std::move(done);
  call->own_id = call->command.id.session.empty();
  Status refused;
  {
    std::lock_guard lock(mutex_);
    if (stopping_) {
      refused = Unavailable("the node is shutting down");
    } else if (writes_ >= options_.writes_max ||
               (writes_ != 0 && write_bytes_ + call->bytes > options_.write_bytes_max)) {
      refused = ResourceExhausted("too many writes in flight");
    } else {
      ++writes_;
      write_bytes_ += call->bytes;
    }
  }
  if (!refused.ok()) {
    call->done(WithLeader(std::move(refused).With(Outcome::kNotApplied)));
  } else if (call->own_id) {
    NameAndTry(call);
  } else {
    Try(call);
  }
}

void Router::NameAndTry(const CallPtr& call) {
  bool named = false;
  bool open = false;
  {
    std::lock_guard lock(mutex_);
    if (session_.state() == client::RequestSession::State::kOpen || stopping_) {
      call->command.id = {session_.name(), session_.Begin()};
      named = true;
    } else {
      waiting_.push_back(call);
      open = session_.state() == client::RequestSession::State::kNew;
      session_.set_state(client::RequestSession::State::kOpening);
    }
  }
  if (named) Try(call);
  if (open) OpenSession(call->deadline);
}

void Router::OpenSession(SteadyTime deadline) {
  auto call = std::make_shared<Call>();
  {
    std::lock_guard lock(mutex_);
    call->command.id = {session_.name(), 1};
    ++writes_;
  }
  call->command.operation = state_machine::OpenSession{};
  call->deadline = deadline;
  call->leader_by = clock_->SteadyNow() + options_.leader_wait;
  call->done = [this, name = call->command.id.session](Result<CommandResult> result) {
    OnSessionOpened(name, result.ok() ? result->status : result.status());
  };
  Try(call);
}

void Router::OnSessionOpened(const std::string& session, const Status& status) {
  std::vector<CallPtr> waiting;
  {
    std::lock_guard lock(mutex_);
    if (session_.name() == session) {
      session_.set_state(status.ok() ? client::RequestSession::State::kOpen
                                     : client::RequestSession::State::kNew);
    }
    waiting.swap(waiting_);
  }
  const SteadyTime now = clock_->SteadyNow();
  for (const CallPtr& call : waiting) {
    // None of these was ever sent, whatever became of the opening of the session.
    const bool patient = now < std::min(call->deadline, call->leader_by);
    const bool transient =
        status.code() == StatusCode::kUnavailable || status.code() == StatusCode::kDeadlineExceeded;
    if (status.ok() || (patient && transient)) {
      NameAndTry(call);
    } else {
      Finish(call, Status(status)
                       .Prefixed("the write waited for its session to be opened")
                       .With(Outcome::kNotApplied));
    }
  }
}

bool Router::Rename(const CallPtr& call) {
  std::lock_guard lock(mutex_);
  if (call->command.id.session == session_.name()) session_.Renew();
  // An earlier try may have been applied before the session was forgotten: under a new name the
  // write could take effect twice.
  return !call->maybe_applied && !stopping_;
}

void Router::Try(const CallPtr& call) {
  bool stopping = false;
  {
    std::lock_guard lock(mutex_);
    stopping = stopping_;
    if (call->own_id && call->command.id.session == session_.name()) {
      call->command.acknowledged_below = session_.acknowledged_below();
    }
  }
  if (stopping) {
    Finish(call, Unavailable("the node is shutting down").With(Outcome::kNotApplied));
    return;
  }
  if (clock_->SteadyNow() >= call->deadline) {
    Finish(call, DeadlineExceeded("no answer in time").With(Outcome::kNotApplied));
    return;
  }
  if (replica_->is_leader()) {
    replica_->Propose(
        Command(call->command), call->deadline,
        [this, call](Result<CommandResult> result) { Settle(call, std::move(result)); });
    return;
  }
  const std::optional<LeaderHint> leader = replica_->leader_hint();
  if (!leader) {
    AwaitLeader(call);
  } else if (!leader->address.empty() && leader->address != options_.address) {
    Forward(call, leader->address);
  } else {
    TryLater(call);  // this node is about to learn that it leads, or does no more
  }
}

void Router::Forward(const CallPtr& call, const std::string& address) {
  const std::shared_ptr<client::SessionChannel> channel = ChannelTo(address);
  if (channel == nullptr) {
    Finish(call, Unavailable("the node is shutting down").With(Outcome::kNotApplied));
    return;
  }
  v1::SessionRequest request;
  ToRequest(call->command, &request);
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(call->deadline - clock_->SteadyNow()).count();
  request.set_timeout_ms(static_cast<uint32_t>(std::max<int64_t>(1, left)));
  channel->Send(std::move(request), call->deadline,
                [this, call](const Status& status, v1::SessionResponse* response) {
                  if (status.ok()) {
                    Settle(call, FromResponse(response));
                  } else {
                    Settle(call, status);
                  }
                });
}

void Router::AwaitLeader(const CallPtr& call) {
  const SteadyTime by = std::min(call->deadline, call->leader_by);
  replica_->AwaitLeader(by, [this, call](const Result<LeaderHint>& leader) {
    if (leader.ok()) {
      timers_->RunAfter(SteadyTime(0), [this, call] { Try(call); });
    } else {
      Finish(call, Status(leader.status()).With(Outcome::kNotApplied));
    }
  });
}

void Router::Settle(const CallPtr& call, Result<CommandResult> result) {
  if (IsExpired(result) && call->own_id && Rename(call)) {
    NameAndTry(call);
    return;
  }
  if (IsExpired(result) && call->maybe_applied) {
    Finish(call,
           Unavailable("the session expired before the outcome was known").With(Outcome::kUnknown));
    return;
  }
  const Status& status = result.status();
  if (result.ok() || status.outcome() == Outcome::kApplied) {
    Finish(call, std::move(result));
    return;
  }
  if (status.outcome() != Outcome::kNotApplied) call->maybe_applied = true;
  if (status.code() == StatusCode::kUnavailable) {
    call->leader_by = clock_->SteadyNow() + options_.leader_wait;  // there was one until now
    TryLater(call);
  } else {
    Finish(call, std::move(result));
  }
}

void Router::TryLater(const CallPtr& call) {
  uint64_t delay = 0;
  {
    std::lock_guard lock(mutex_);
    delay = ++last_delay_;
    delayed_.emplace(delay, call);
  }
  timers_->RunAfter(client::RetryBackoff(++call->tries), [this, delay] {
    CallPtr due;
    {
      std::lock_guard lock(mutex_);
      const auto found = delayed_.find(delay);
      if (found == delayed_.end()) return;  // news of the leader came first
      due = std::move(found->second);
      delayed_.erase(found);
    }
    Try(due);
  });
}

void Router::OnLeaderChanged() {
  // On a thread of ours: the replica's must not wait for gRPC.
  timers_->RunAfter(SteadyTime(0), [this] {
    LeaveFormerLeader();
    std::map<uint64_t, CallPtr> delayed;
    {
      std::lock_guard lock(mutex_);
      delayed.swap(delayed_);
    }
    for (const auto& [delay, call] : delayed) {
      call->tries = 0;
      Try(call);
    }
  });
}

void Router::Finish(const CallPtr& call, Result<CommandResult> result) {
  if (!result.ok() && result.status().outcome() != Outcome::kApplied) {
    Status status = result.status();
    // Only the replicated result is certain once a try may have been applied.
    if (call->maybe_applied) status = std::move(status).With(Outcome::kUnknown);
    result = WithLeader(std::move(status));
  }
  {
    std::lock_guard lock(mutex_);
    --writes_;
    write_bytes_ -= call->bytes;
    if (call->own_id) session_.Finished(call->command.id.session, call->command.id.sequence);
  }
  call->done(std::move(result));
}

Status Router::WithLeader(Status status) const {
  std::optional<LeaderHint> leader = replica_->leader_hint();
  if (!leader || leader->address.empty()) return status;
  return std::move(status).With(*std::move(leader));
}

std::shared_ptr<client::SessionChannel> Router::ChannelTo(const std::string& address) {
  client::SessionChannel::Options options;
  options.endpoint = address;
  options.metadata.emplace(client::kForwardedMetadata,
                           std::to_string(replica_->status().cluster_id));
  options.inflight_max = options_.writes_max;
  options.inflight_bytes_max = options_.write_bytes_max;
  std::shared_ptr<client::SessionChannel> former;
  std::shared_ptr<client::SessionChannel> channel;
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return nullptr;
    if (channel_ != nullptr && channel_->endpoint() == address && !channel_->broken()) {
      return channel_;
    }
    std::erase_if(channels_, [](const auto& ending) { return ending->ended(); });
    former = std::move(channel_);
    channel_ = client::SessionChannel::Open(std::move(options), timers_, clock_);
    channels_.push_back(channel_);
    channel = channel_;
  }
  if (former != nullptr) former->Close();
  return channel;
}

void Router::LeaveFormerLeader() {
  const std::optional<LeaderHint> leader = replica_->leader_hint();
  if (!leader || leader->address.empty()) return;
  std::shared_ptr<client::SessionChannel> former;
  {
    std::lock_guard lock(mutex_);
    if (channel_ == nullptr || channel_->endpoint() == leader->address) return;
    former = std::move(channel_);
    channel_ = nullptr;
  }
  former->Close();
}

void Router::Stop() {
  std::lock_guard lock(mutex_);
  stopping_ = true;
}

void Router::Close() {
  std::vector<std::shared_ptr<client::SessionChannel>> channels;
  {
    std::lock_guard lock(mutex_);
    channels = channels_;
  }
  for (const auto& channel : channels) channel->Close();
  for (const auto& channel : channels) channel->AwaitEnd();
}

}  // namespace cairn::server
