#include "node/leadership_fitness.h"

#include <algorithm>

#include "base/log.h"

namespace cairn::node {
namespace {

// Election timeouts between two attempts of an unfit leader to hand over. The pause is long:
// otherwise leadership would go round and round among nodes whose disks are all full.
constexpr uint64_t kHandoverElections = 100;
// The same for a leader that does not apply the log. It serves nothing, so nothing is lost by
// trying again soon, and at the first attempt the others may not have caught up yet.
constexpr uint64_t kTroubledHandoverElections = 4;
// The same for a leader whose database is damaged. If all nodes find damage, leadership must not go
// round and round.
constexpr uint64_t kDamagedHandoverElections = 20;

}  // namespace

bool PeerCanLead(const raft::CoreStatus& leader, MemberId member) {
  const auto peer = leader.peers.find(member);
  return peer != leader.peers.end() && peer->second.recently_active && peer->second.can_lead;
}

bool LeadershipFitness::AnotherCanLead() const {
  const raft::CoreStatus core = context_.raft->status();
  return std::any_of(context_.config.voters.begin(), context_.config.voters.end(),
                     [&](MemberId voter) { return PeerCanLead(core, voter); });
}

void LeadershipFitness::Tell(const raft::Fitness& now) {
  if (now == told_) return;
  told_ = now;
  context_.raft->Step(now);
}

void LeadershipFitness::OnTickUnfit(bool troubled) {
  if (!context_.is_leader() || context_.ticks < next_handover_tick_) return;
  const uint64_t pause =
      troubled && AnotherCanLead() ? kTroubledHandoverElections : kHandoverElections;
  next_handover_tick_ = context_.ticks + context_.Elections(pause);
  context_.raft->Step(raft::TransferLeader{});
}

void LeadershipFitness::HandOverDamaged() {
  if (context_.ticks < next_handover_tick_ || !AnotherCanLead()) return;
  next_handover_tick_ = context_.ticks + context_.Elections(kDamagedHandoverElections);
  LOG_WARN("the database of this leader is damaged, and too few others serve: it hands over");
  context_.raft->Step(raft::TransferLeader{});
}

}  // namespace cairn::node
