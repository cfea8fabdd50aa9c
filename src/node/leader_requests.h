// LeaderRequests: the callers that wait until a leader is known, and the callers that wait until
// leadership has moved.
//
// LeaderRequests owns these callers, and steps hand-overs into the Raft core. Each caller is
// answered once, at its deadline at the latest.
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

// Not thread-safe: the core thread owns it.
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
  // The node ends: answers all callers.
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
