#include "node/shutdown_wait.h"

#include <utility>

#include "base/log.h"

namespace cairn::node {

void ShutdownWait::Begin(SteadyTime deadline, std::function<void()> done) {
  context_.shutting_down = true;
  deadline_ = deadline;
  leader_known_tick_ = context_.ticks;
  done_ = std::move(done);
}

void ShutdownWait::Step(bool settled) {
  if (!done_) return;
  // A sole voter has nobody to hand over to, and only finishes what it has begun.
  const bool alone = context_.config.voters.size() <= 1;
  const bool handing_over = context_.is_leader() && !alone;
  // If the others have gone too, nobody can confirm what is undecided, and nobody can take over.
  const bool no_leader = context_.raft && context_.raft->leader().is_none();
  if (!no_leader) leader_known_tick_ = context_.ticks;
  const bool hopeless = context_.ticks >= leader_known_tick_ + context_.Elections(2);
  if (hopeless && !settled) LOG_INFO("no leader is left to decide the last writes");
  const bool waits = context_.now() < deadline_ && (handing_over || !settled);
  if (hopeless || !waits) return Stop();
  // Tries again after each attempt that failed: the voter that was chosen may have died just
  // before.
  if (handing_over && context_.raft->status().transfer_target.is_none()) {
    context_.raft->Step(raft::TransferLeader{});
  }
}

void ShutdownWait::Stop() {
  if (done_) std::exchange(done_, nullptr)();
}

}  // namespace cairn::node
