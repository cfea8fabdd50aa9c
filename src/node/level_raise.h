// LevelRaise: raises the feature level of the cluster when an operator asks its leader to.
//
// Every member is asked which levels it knows; only if all have answered, and all can follow, the
// command that raises the level is proposed. A member whose build is changed between its answer and
// the command stops applying until the right build is started, and harms nothing.
//
// It owns the request that is under way, probes members and proposes one command.
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

// One owner (the core thread).
class LevelRaise {
 public:
  // Called once, with the level that the cluster has then; also on the apply thread.
  using Done = std::function<void(Result<uint64_t>)>;

  LevelRaise(ReplicaContext* context, const PeerDirectory* directory, Proposals* proposals)
      : context_(*context), directory_(*directory), proposals_(*proposals) {}

  // To the highest level that this node knows.
  void Begin(SteadyTime deadline, Done done);
  void Expire(SteadyTime now);
  // This node does not lead (any more).
  void OnFollowing();
  // The node ends: answers who waits.
  void Stop(const Status& why);

 private:
  struct Request {
    uint64_t number = 0;
    uint64_t level = 0;
    SteadyTime deadline{0};
    Done done;
    std::set<MemberId> unanswered;
    std::vector<std::string> cannot;  // follow, and why, in words
  };

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
