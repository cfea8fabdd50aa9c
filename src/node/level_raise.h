// LevelRaise: raises the feature level of the cluster when an operator asks its leader to.
//
// The leader asks every member which levels it knows. Only if all have answered, and all can
// follow, does the leader propose the command that raises the level. If a member's build is changed
// between its answer and the command, that member stops applying until the right build is started.
// Nothing is harmed.
//
// A leader that runs the old build knows no higher level. It asks the others all the same: if one
// of them knows a higher level, "done" would tell an operator that the upgrade is complete.
//
// LevelRaise owns the request that is under way, probes members and proposes one command.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "node/peer_directory.h"
#include "node/proposals.h"
#include "node/replica_context.h"
#include "transport/transport.h"

namespace cairn::node {

// Not thread-safe: the core thread owns it.
class LevelRaise {
 public:
  // Called once, with the level that the cluster then has; perhaps on the apply thread.
  using Done = std::function<void(Result<uint64_t>)>;

  LevelRaise(ReplicaContext* context, const PeerDirectory* directory, Proposals* proposals)
      : context_(*context), directory_(*directory), proposals_(*proposals) {}

  // Raises the level to the highest that this node knows. The raise waits while a change of
  // membership is under way: the leader makes one by itself after each start of a member.
  void Begin(SteadyTime deadline, Done done);
  void OnTick();
  void Expire(SteadyTime now);
  // This node does not lead (any more).
  void OnFollowing();
  // The node ends: answers the caller that waits.
  void Stop(const Status& why);

 private:
  struct Request {
    uint64_t number = 0;
    uint64_t level = 0;
    SteadyTime deadline{0};
    Done done;
    bool asked = false;
    std::set<MemberId> unanswered{};
    std::vector<std::string> cannot{};  // the members that cannot follow, and why, in words
    uint64_t level_max = 0;             // the highest that another member knows
    std::string level_max_node{};       // which one, in words
  };

  void Ask();
  void OnProbed(uint64_t number, MemberId member, const Result<transport::ProbeReply>& reply);
  void Decide();
  void Finish(Result<uint64_t> result);

  ReplicaContext& context_;
  const PeerDirectory& directory_;
  Proposals& proposals_;
  std::optional<Request> request_;
  uint64_t number_ = 0;
};

}  // namespace cairn::node
