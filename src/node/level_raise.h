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
// Raising the level and letting members in exclude each other. A raise is refused while a change of
// membership is under way. From when a raise is asked for until this node has applied what may be in
// the log of it, no member is let in (SettledLevel). The bad schedule otherwise: all members have
// answered, or the command is in the log and not applied yet. A node that knows the old level only
// asks to be let in, and the applied level allows it. It becomes a member that can apply nothing
// after the raise. The order of the two entries in the log makes no difference: a member that was let
// in first has been asked, and one that is let in later knows the level.
//
// LevelRaise owns the request that is under way, probes members and proposes one command.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "node/peer_directory.h"
#include "node/pending_command.h"
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

  // Raises the level to the highest that this node knows. The raise waits while a configuration is on
  // its way: the leader makes one by itself after each start of a member.
  // The node's own raise of a new cluster gives way to an operator's.
  enum class Asker : uint8_t { kOperator, kNode };
  void Begin(SteadyTime deadline, Asker asker, Done done);
  void OnTick();
  void Expire(SteadyTime now);
  // This node does not lead (any more).
  void OnFollowing();
  // The feature level that members who are let in must know; none while the level may be about to
  // rise, and on a node that does not lead.
  std::optional<uint64_t> SettledLevel();
  // The node ends: answers the caller that waits.
  void Stop(const Status& why);

 private:
  struct Request {
    uint64_t number = 0;
    uint64_t level = 0;
    SteadyTime deadline{0};
    Asker asker = Asker::kOperator;
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
  // The last raise, until its fate is known and applied here.
  std::optional<std::weak_ptr<PendingCommand>> proposed_;
  // Where the log of this node ended when `proposed_` had been answered. "Unknown" is an answer, and
  // the command may be in the log up to here.
  std::optional<LogIndex> proposed_up_to_;
  uint64_t number_ = 0;
};

}  // namespace cairn::node
