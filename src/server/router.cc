#include "server/router.h"

#include <algorithm>
#include <utility>

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
    bytes += execute->expect.size() * sizeof(RowExpectation);
  } else if (const auto* prepare = std::get_if<state_machine::Prepare>(&command.operation)) {
    bytes += StatementBytes(prepare->statement);
  }
  return bytes;
}

// A member that relays must be reached within this time. Otherwise the next member is asked.
constexpr SteadyTime kRelayConnect = std::chrono::seconds(1);

Status ShuttingDown() { return Unavailable("the node is shutting down"); }

rpc::Retrier::Options BoundsOf(const Router::Options& options) {
  rpc::Retrier::Options bounds;
  bounds.calls_max = options.writes_max;
  bounds.bytes_max = options.write_bytes_max;
  bounds.stopped = ShuttingDown();
  return bounds;
}

}  // namespace

Router::Router(node::Replica* replica, rpc::Timers* timers, Clock* clock, OpenWriteLink open,
               Options options)
    : replica_(replica),
      timers_(timers),
      clock_(clock),
      open_(std::move(open)),
      options_(std::move(options)),
      retrier_(this, timers, clock, BoundsOf(options_)) {}

Router::~Router() {
  Stop();
  Close();
}

void Router::Write(Command command, SteadyTime deadline, Origin origin, node::CommandDone done,
                   node::CallerGone gone) {
  if (origin == Origin::kRelay && !replica_->is_leader()) {
    return PassOn(command, deadline, std::move(done));
  }
  if (origin != Origin::kClient) {
    return replica_->Propose(command, deadline, std::move(done), std::move(gone));
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
  call->gone = std::move(gone);
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
  if (call->gone != nullptr && *call->gone) {
    return retrier_.Finish(call, Cancelled("the client has gone"));
  }
  call->result.reset();
  call->command.id = {call->session, call->sequence};
  if (!call->named) call->command.named_by = options_.node_id;
  call->command.acknowledged_below = call->acknowledged_below;
  if (replica_->is_leader()) {
    replica_->Propose(
        call->command, call->deadline,
        [this, call](Result<CommandResult> result) { Settle(call, std::move(result)); },
        call->gone);
    return;
  }
  const SteadyTime now = clock_->SteadyNow();
  if (call->unreached_since && now - *call->unreached_since >= options_.relay_after) {
    call->unreached_since.reset();
    return Relay(call);
  }
  if (!replica_->leader_hint()) return AwaitLeader(call);
  if (const auto leader = LeaderElsewhere()) return Forward(call, *leader);
  retrier_.TryLater(call);  // this node is about to learn who leads
}

void Router::CloseUnlessReady(const LinkPtr& link, SteadyTime after) {
  timers_->RunAt(clock_->SteadyNow() + after, [link] {
    if (!link->ready()) link->Close();
  });
}

void Router::Forward(const CallPtr& call, const std::string& address) {
  const LinkPtr link = LinkTo(address, Origin::kForwarder);
  if (link == nullptr) return retrier_.Finish(call, ShuttingDown());
  // The last link to the leader was lost. This node waits for the next one no longer than for a
  // leader before another member relays.
  if (call->unreached_since) CloseUnlessReady(link, options_.relay_after);
  forwarded_.Add();
  link->Send(call->command, call->deadline,
             [this, call](const Status& reached, Result<CommandResult> answer) {
               if (reached.ok()) {
                 call->unreached_since.reset();
               } else if (!call->unreached_since) {
                 call->unreached_since = clock_->SteadyNow();
               }
               Settle(call, std::move(answer));
             });
}

// ---- Without a leader, or without reaching it

void Router::AwaitLeader(const CallPtr& call) {
  const SteadyTime end = std::min(call->deadline, call->leader_by);
  const SteadyTime by = std::min<SteadyTime>(end, clock_->SteadyNow() + options_.relay_after);
  replica_->AwaitLeader(by, [this, call, relay = by < end](const Result<LeaderHint>& leader) {
    if (leader.ok()) {
      timers_->RunAt(clock_->SteadyNow(), [this, call] { retrier_.TryNow(call); });
    } else if (relay) {
      timers_->RunAt(clock_->SteadyNow(), [this, call] { Relay(call); });
    } else {
      retrier_.Finish(call, leader.status());
    }
  });
}

// One node alone can lose its leader: the link between the two is cut, and a third node reaches
// both. Nobody else elects, so the write would wait until the cut heals.
void Router::Relay(const CallPtr& call) {
  size_t turn = 0;
  const std::optional<std::string> member = MemberToRelay(&turn);
  if (!member) return retrier_.TryLater(call);
  const LinkPtr link = LinkTo(*member, Origin::kRelay);
  if (link == nullptr) return retrier_.Finish(call, ShuttingDown());
  CloseUnlessReady(link, kRelayConnect);
  relayed_.Add();
  link->Send(call->command, call->deadline,
             [this, call, turn](const Status&, Result<CommandResult> answer) {
               if (answer.status().code() != StatusCode::kUnavailable) {
                 return Settle(call, std::move(answer));
               }
               {
                 MutexLock lock(mutex_);
                 if (relay_turn_ == turn) ++relay_turn_;
               }
               // This is no news of a leader, so `leader_by` stays.
               retrier_.Settle(call, answer.status());
             });
}

// One hop and one try: the node that asks has named the write, and tries again.
void Router::PassOn(const Command& command, SteadyTime deadline, node::CommandDone done) {
  const std::optional<std::string> leader = LeaderElsewhere();
  const LinkPtr link = leader ? LinkTo(*leader, Origin::kForwarder) : nullptr;
  if (link == nullptr) {
    return done(
        Unavailable("this node has no leader to pass the write on to").With(Outcome::kNotApplied));
  }
  link->Send(command, deadline,
             [done = std::move(done)](const Status&, Result<CommandResult> answer) {
               done(std::move(answer));
             });
}

std::optional<std::string> Router::LeaderElsewhere() const {
  const std::optional<LeaderHint> leader = replica_->leader_hint();
  if (!leader || leader->address.empty() || leader->address == options_.address) {
    return std::nullopt;
  }
  return leader->address;
}

std::optional<std::string> Router::MemberToRelay(size_t* turn) {
  std::vector<std::string> others;
  for (const auto& [id, info] : replica_->status().core.config.info) {
    if (info.address != options_.address) others.push_back(info.address);
  }
  MutexLock lock(mutex_);
  if (others.size() > 1) std::erase(others, last_leader_);
  if (others.empty()) return std::nullopt;
  *turn = relay_turn_;
  return others[relay_turn_ % others.size()];
}

void Router::Settle(const CallPtr& call, Result<CommandResult> result) {
  Status status = result.ok() ? result->status : result.status();
  if (status.code() == StatusCode::kUnavailable) {
    call->leader_by = clock_->SteadyNow() + options_.leader_wait;  // there was a leader until now
  }
  if (result.ok()) call->result = *std::move(result);
  retrier_.Settle(call, std::move(status));
}

void Router::Answer(const rpc::Retrier::CallPtr& settled, Status status) {
  auto& call = static_cast<Call&>(*settled);
  const bool applied = status.ok() || status.outcome() == Outcome::kApplied;
  if (!applied) return call.done(WithLeader(std::move(status)));
  // The leader's answer to another node has no result if the command failed.
  if (!call.result) return call.done(std::move(status));
  call.result->status = std::move(status);
  call.done(*std::move(call.result));
}

void Router::OnLeaderChanged() {
  // Runs on a thread of the timers, because the replica's thread must not wait for gRPC.
  timers_->RunAt(clock_->SteadyNow(), [this] {
    LeaveFormerLeader();
    retrier_.TryDelayed();
    if (replica_->leader_hint()) return;
    timers_->RunAt(clock_->SteadyNow() + options_.relay_after, [this] { LeaveLostLeader(); });
  });
}

Status Router::WithLeader(Status status) const {
  std::optional<LeaderHint> leader = replica_->leader_hint();
  if (!leader || leader->address.empty()) return status;
  return std::move(status).With(*std::move(leader));
}

Router::LinkPtr Router::LinkTo(const std::string& address, Origin origin) {
  const uint64_t cluster_id = replica_->status().cluster_id;
  LinkPtr former;
  LinkPtr link;
  {
    MutexLock lock(mutex_);
    if (stopping_) return nullptr;
    LinkPtr& place = origin == Origin::kRelay ? to_relay_ : to_leader_;
    if (place != nullptr && place->address() == address && !place->broken()) return place;
    std::erase_if(links_, [](const auto& ending) { return ending->ended(); });
    former = std::move(place);
    place = open_(address, origin, cluster_id);
    links_.push_back(place);
    link = place;
    if (origin == Origin::kForwarder) last_leader_ = address;
  }
  if (former != nullptr) former->Close();
  return link;
}

void Router::LeaveFormerLeader() {
  const std::optional<LeaderHint> leader = replica_->leader_hint();
  if (!leader || leader->address.empty()) return;
  LinkPtr former;
  {
    MutexLock lock(mutex_);
    if (to_leader_ == nullptr || to_leader_->address() == leader->address) return;
    former = std::exchange(to_leader_, nullptr);
  }
  former->Close();
}

// What was sent to the lost leader waits for an answer that may not come before the cut heals.
void Router::LeaveLostLeader() {
  if (replica_->leader_hint()) return;
  LinkPtr lost;
  {
    MutexLock lock(mutex_);
    lost = std::exchange(to_leader_, nullptr);
  }
  if (lost != nullptr) lost->Close();
}

void Router::Stop() {
  retrier_.Stop();
  MutexLock lock(mutex_);
  stopping_ = true;
}

void Router::Close() {
  std::vector<LinkPtr> links;
  {
    MutexLock lock(mutex_);
    links = links_;
  }
  for (const LinkPtr& link : links) link->Close();
  for (const LinkPtr& link : links) link->AwaitEnd();
}

}  // namespace cairn::server
