// LeaderRequests: who waits for a leader to be known, and who waits for leadership to move.
//
// It owns those who wait, and steps hand-overs into the Raft core. Each is answered once, at its
// deadline at the latest.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "base/result.h"
#include "node/peer_directory.h"
#include "node/replica_context.h"

namespace cairn::node {

// One owner (the core thread).
class LeaderRequests {
 public:
  LeaderRequests(ReplicaContext* context, const PeerDirectory* directory)
      : context_(*context), directory_(*directory) {}

  void AwaitLeader(SteadyTime deadline, std::function<void(Result<LeaderHint>)> done);
  // `node_id` 0: to the best caught-up voter.
  void Transfer(uint64_t node_id, SteadyTime deadline, std::function<void(Status)> done);

  // Role, term or leader have changed.
  void OnLeaderChanged();
  void Expire(SteadyTime now, const Status& no_leader);
  // The node ends: answers who waits.
  void Stop(const Status& why);

 private:
  struct Waiter {
    SteadyTime deadline;
    std::function<void(Result<LeaderHint>)> done;
  };
  struct Handover {
    MemberId target;
    SteadyTime deadline;
    std::function<void(Status)> done;
  };

  const ReplicaContext& context_;
  const PeerDirectory& directory_;
  std::vector<Waiter> waiters_;
  std::optional<Handover> handover_;
};

}  // namespace cairn::node
