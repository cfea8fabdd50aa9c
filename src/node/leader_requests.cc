#include "node/leader_requests.h"

#include <string>
#include <utility>

#include "node/membership.h"

namespace cairn::node {
namespace {

constexpr size_t kWaitersMax = 65536;

}  // namespace

void LeaderRequests::AwaitLeader(SteadyTime deadline,
                                 std::function<void(Result<LeaderHint>)> done) {
  if (const auto hint = directory_.leader_hint()) return done(*hint);
  if (context_.shutting_down) return done(Unavailable("the node is shutting down"));
  if (waiters_.size() >= kWaitersMax) {
    return done(ResourceExhausted("too many requests are waiting for a leader"));
  }
  waiters_.push_back({deadline, std::move(done)});
}

void LeaderRequests::Transfer(uint64_t node_id, SteadyTime deadline,
                              std::function<void(Status)> done) {
  if (!context_.is_leader()) return done(directory_.NotLeader());
  if (handover_) return done(FailedPrecondition("another hand-over is under way"));
  const auto& voters = context_.config.voters;
  MemberId target;
  if (node_id != 0) {
    target = FindMember(context_.config, node_id);
    if (target == context_.self) return done(OkStatus());
    if (!voters.contains(target)) {
      return done(FailedPrecondition("node " + std::to_string(node_id) + " is not a voter"));
    }
  } else if (voters.size() <= 1) {
    return done(FailedPrecondition("there is no other voter"));
  }
  handover_ = Handover{target, deadline, std::move(done)};
  context_.raft->Step(raft::TransferLeader{target});
}

void LeaderRequests::OnLeaderChanged() {
  const MemberId leader = context_.raft->leader();
  if (handover_ && !leader.is_none() && leader != context_.self) {
    auto handover = *std::exchange(handover_, std::nullopt);
    const bool there = handover.target.is_none() || handover.target == leader;
    handover.done(there ? OkStatus() : Unavailable("leadership went to another node"));
  }
  if (const auto hint = directory_.leader_hint()) {
    for (Waiter& waiter : std::exchange(waiters_, {})) waiter.done(*hint);
  }
}

void LeaderRequests::Expire(SteadyTime now, const Status& no_leader) {
  std::erase_if(waiters_, [&](Waiter& waiter) {
    if (waiter.deadline > now) return false;
    waiter.done(no_leader);
    return true;
  });
  if (handover_ && handover_->deadline <= now) {
    auto handover = *std::exchange(handover_, std::nullopt);
    handover.done(DeadlineExceeded("leadership has not moved in time"));
  }
}

void LeaderRequests::Stop(const Status& why) {
  for (Waiter& waiter : std::exchange(waiters_, {})) waiter.done(why);
  if (handover_) std::exchange(handover_, std::nullopt)->done(why);
}

}  // namespace cairn::node
