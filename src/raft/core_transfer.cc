#include <tuple>

#include "raft/core_impl.h"

namespace cairn::raft {

MemberId RaftCore::Impl::BestVoter(const Leader& leader) const {
  // Every voter answers every heartbeat. A voter that left two heartbeats unanswered may be dead,
  // however far its log reaches.
  const uint64_t alive_ticks = 2 * options_.heartbeat_ticks;
  MemberId best;
  std::tuple<bool, bool, LogIndex> best_rank;
  for (const auto& [id, peer] : leader.peers) {
    if (!config().voters.contains(id)) continue;
    const std::tuple rank{peer.silent_ticks <= alive_ticks, peer.fitness.can_lead,
                          peer.progress.match()};
    if (!best.is_none() && rank <= best_rank) continue;
    best = id;
    best_rank = rank;
  }
  return best;
}

void RaftCore::Impl::On(TransferLeader transfer) {
  Leader* leader = leader_role();
  if (leader == nullptr) return;
  const MemberId target = transfer.target.is_none() ? BestVoter(*leader) : transfer.target;
  if (!leader->peers.contains(target) || !config().IsVoter(target)) return;
  leader->transfer_target = target;
  leader->transfer_elapsed = 0;
  leader->timeout_now_sent = false;
}

// Runs when an output is made. A leader appends nothing while a transfer is in progress, so that
// the last index that TimeoutNow names stays the last index and the target can catch up with it.
void RaftCore::Impl::SendTimeoutNow(Leader& leader) {
  if (leader.transfer_target.is_none() || leader.timeout_now_sent) return;
  const Peer& peer = leader.peers.at(leader.transfer_target);
  if (peer.progress.match() != log_.last()) return;
  SendNow(leader.transfer_target, TimeoutNow{log_.last()});
  leader.timeout_now_sent = true;
}

void RaftCore::Impl::TickTransfer(Leader& leader, bool heartbeat) {
  if (leader.transfer_target.is_none()) return;
  dirty_ = true;
  // The message may have been lost, so it is sent again; a surplus message is dropped as stale.
  if (heartbeat) leader.timeout_now_sent = false;
  // 3.10: after about one election timeout the leader serves again. A TimeoutNow that still arrives
  // is dropped once this leader has appended anything; before that it does no harm to safety.
  if (++leader.transfer_elapsed >= options_.election_ticks) leader.transfer_target = MemberId();
}

// The configuration without this leader is committed (4.2.2). The leader tells every member so,
// asks the best voter to take over at once, and steps down.
void RaftCore::Impl::ResignAsRemoved(Leader& leader) {
  for (auto& [id, peer] : leader.peers) SendHeartbeat(leader, id, peer);
  AskToTakeOver(leader);
  BecomeFollower(term_, MemberId());
}

// For a leader that cannot wait until the voter has caught up. A voter whose log holds more than it
// has acknowledged drops the message. The other members then first time out on their leader, as
// after a crash.
void RaftCore::Impl::AskToTakeOver(const Leader& leader) {
  if (const MemberId best = BestVoter(leader); !best.is_none()) {
    SendNow(best, TimeoutNow{leader.peers.at(best).progress.match()});
  }
}

void RaftCore::Impl::Handle(const Message&, const TimeoutNow& timeout) {
  // The terms are equal here. A different last index shows that the leader continued after it gave
  // up the transfer: deposing the leader now would serve nobody.
  if (timeout.last_index != log_.last() || !MayCampaign()) return;
  if (role() == Role::kFollower || role() == Role::kPreCandidate) Campaign(/*transfer=*/true);
}

}  // namespace cairn::raft
