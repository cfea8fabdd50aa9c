#include "server/router.h"

#include <algorithm>
#include <utility>

#include "rpc/proto_convert.h"
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

Status ShuttingDown() { return Unavailable("the node is shutting down"); }

rpc::Retrier::Options BoundsOf(const Router::Options& options) {
  rpc::Retrier::Options bounds;
  bounds.calls_max = options.writes_max;
  bounds.bytes_max = options.write_bytes_max;
  bounds.stopped = ShuttingDown();
  return bounds;
}

}  // namespace

Router::Router(node::Replica* replica, rpc::TimerQueue* timers, Clock* clock, Options options)
    : replica_(replica),
      timers_(timers),
      clock_(clock),
      options_(std::move(options)),
      retrier_(this, timers, clock, BoundsOf(options_)) {}

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
  call->write = true;
  call->deadline = deadline;
  call->bytes = CommandBytes(command);
  call->named = !command.id.empty();
  call->session = command.id.session;
  call->sequence = command.id.sequence;
  call->acknowledged_below = command.acknowledged_below;
  call->command = std::move(command);
  call->done = std::move(done);
  call->leader_by = clock_->SteadyNow() + options_.leader_wait;
  call->session_by = call->leader_by;
  retrier_.Start(call);
}

rpc::Retrier::CallPtr Router::NewOpening() {
  auto call = std::make_shared<Call>();
  call->command.operation = state_machine::OpenSession{};
  call->command.principal = "node:" + std::to_string(options_.node_id);
  call->leader_by = clock_->SteadyNow() + options_.leader_wait;
  return call;
}

void Router::Send(const rpc::Retrier::CallPtr& named) {
  const CallPtr call = std::static_pointer_cast<Call>(named);
  call->result.reset();
  call->command.id = {call->session, call->sequence};
  if (!call->named) call->command.named_by = options_.node_id;
  call->command.acknowledged_below = call->acknowledged_below;
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
    retrier_.TryLater(call);  // this node is about to learn that it leads, or no longer does
  }
}

void Router::Forward(const CallPtr& call, const std::string& address) {
  const std::shared_ptr<rpc::SessionChannel> channel = ChannelTo(address);
  if (channel == nullptr) return retrier_.Finish(call, ShuttingDown());
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
      timers_->RunAfter(SteadyTime(0), [this, call] { retrier_.TryNow(call); });
    } else {
      retrier_.Finish(call, leader.status());
    }
  });
}

void Router::Settle(const CallPtr& call, Result<CommandResult> result) {
  Status status = result.ok() ? result->status : result.status();
  if (status.code() == StatusCode::kUnavailable) {
    call->leader_by = clock_->SteadyNow() + options_.leader_wait;  // there was one until now
  }
  if (result.ok()) call->result = *std::move(result);
  retrier_.Settle(call, std::move(status));
}

void Router::Answer(const rpc::Retrier::CallPtr& settled, Status status) {
  auto& call = static_cast<Call&>(*settled);
  const bool applied = status.ok() || status.outcome() == Outcome::kApplied;
  if (!applied) return call.done(WithLeader(std::move(status)));
  // The leader's answer to another node has no result when the command failed.
  if (!call.result) return call.done(std::move(status));
  call.result->status = std::move(status);
  call.done(*std::move(call.result));
}

void Router::OnLeaderChanged() {
  // On a thread of ours: the replica's must not wait for gRPC.
  timers_->RunAfter(SteadyTime(0), [this] {
    LeaveFormerLeader();
    retrier_.TryDelayed();
  });
}

Status Router::WithLeader(Status status) const {
  std::optional<LeaderHint> leader = replica_->leader_hint();
  if (!leader || leader->address.empty()) return status;
  return std::move(status).With(*std::move(leader));
}

std::shared_ptr<rpc::SessionChannel> Router::ChannelTo(const std::string& address) {
  rpc::SessionChannel::Options options;
  options.endpoint = address;
  options.metadata.emplace(rpc::kForwardedMetadata, std::to_string(replica_->status().cluster_id));
  options.inflight_max = options_.writes_max;
  options.inflight_bytes_max = options_.write_bytes_max;
  std::shared_ptr<rpc::SessionChannel> former;
  std::shared_ptr<rpc::SessionChannel> channel;
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return nullptr;
    if (channel_ != nullptr && channel_->endpoint() == address && !channel_->broken()) {
      return channel_;
    }
    std::erase_if(channels_, [](const auto& ending) { return ending->ended(); });
    former = std::move(channel_);
    channel_ = rpc::SessionChannel::Open(std::move(options), timers_, clock_);
    channels_.push_back(channel_);
    channel = channel_;
  }
  if (former != nullptr) former->Close();
  return channel;
}

void Router::LeaveFormerLeader() {
  const std::optional<LeaderHint> leader = replica_->leader_hint();
  if (!leader || leader->address.empty()) return;
  std::shared_ptr<rpc::SessionChannel> former;
  {
    std::lock_guard lock(mutex_);
    if (channel_ == nullptr || channel_->endpoint() == leader->address) return;
    former = std::move(channel_);
    channel_ = nullptr;
  }
  former->Close();
}

void Router::Stop() {
  retrier_.Stop();
  std::lock_guard lock(mutex_);
  stopping_ = true;
}

void Router::Close() {
  std::vector<std::shared_ptr<rpc::SessionChannel>> channels;
  {
    std::lock_guard lock(mutex_);
    channels = channels_;
  }
  for (const auto& channel : channels) channel->Close();
  for (const auto& channel : channels) channel->AwaitEnd();
}

}  // namespace cairn::server
