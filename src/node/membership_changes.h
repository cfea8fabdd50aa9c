// MembershipChanges: changes of membership on the leader, one at a time.
//
// A change begins in one of four ways. An operator asks for it. A wiped node asks to be let in
// again. The leader goes on with a replacement that another leader began. The leader writes down
// where members live and which of their starts it has heard.
//
// No member is let in while the feature level may be about to rise (level_raise.h): the member must
// know the level that the cluster then has.
//
// MembershipChanges owns the job that is under way (MembershipJob), proposes configurations to the
// Raft core and probes nodes. A job that fails tells the caller that asked for it. A job ends when
// this node loses leadership, or when another change takes its place: the leader's own jobs give
// way to an operator, and an operator's job as GivesWay says. The bad schedule without that: a node
// that was started with a wrong --peers never catches up, and for as long as `member add` is
// willing to wait, a day, nobody can even remove the node again.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/ids.h"
#include "base/result.h"
#include "node/callers.h"
#include "node/hearing.h"
#include "node/level_raise.h"
#include "node/membership.h"
#include "node/peer_directory.h"
#include "node/replica.h"
#include "node/replica_context.h"
#include "node/standing.h"
#include "raft/core.h"
#include "transport/transport.h"

namespace cairn::node {

// Not thread-safe: the core thread owns it.
class MembershipChanges {
 public:
  MembershipChanges(ReplicaContext* context, const PeerDirectory* directory, const Hearing* hearing,
                    const Callers* callers, const Standing* standing, LevelRaise* level_raise)
      : context_(*context),
        directory_(*directory),
        hearing_(*hearing),
        callers_(*callers),
        standing_(*standing),
        level_raise_(*level_raise) {}

  // The operator asks for a change.
  void Change(Replica::MembershipChange change, SteadyTime deadline,
              std::function<void(const std::string&)> progress, std::function<void(Status)> done);
  // A wiped node asks to be let in.
  void Join(const transport::JoinRequest& request,
            const std::function<void(Result<transport::JoinReply>)>& reply);
  void OnTick();
  // The node that a change is about which is under way. A change that nobody waits for ends here.
  std::optional<uint64_t> NodeUnderWay();
  // Returns true if this part made the proposal.
  bool OnDropped(const raft::Dropped& dropped);
  // This node does not lead (any more).
  void OnFollowing();
  // The node ends: answers all callers.
  void Stop(const Status& why);

 private:
  // Whether the job that is under way, if any, gives way to the change.
  bool GivesWay(const Replica::MembershipChange& change) const;
  void Begin(std::unique_ptr<MembershipJob> job, bool ours);
  void Run();
  void LetIn(const transport::JoinRequest& wiped, MembershipJob::Callbacks callbacks);
  void ResumeReplacement();
  void WriteDownMembers();

  ReplicaContext& context_;
  const PeerDirectory& directory_;
  const Hearing& hearing_;
  const Callers& callers_;
  const Standing& standing_;
  LevelRaise& level_raise_;
  std::unique_ptr<MembershipJob> job_;
  uint64_t job_number_ = 0;
  bool job_is_ours_ = false;              // made by the leader itself; gives way to an operator
  std::optional<uint64_t> job_proposal_;  // id of its ProposeConfig
  // The id of the ProposeConfig that writes down what is known of the members, and the
  // configuration from which it was made.
  std::optional<uint64_t> members_proposal_;
  LogIndex members_proposed_at_;
  // The versions of the callers and of the configuration that were last found to say the same.
  uint64_t agreed_callers_ = 0;
  LogIndex agreed_config_;
};

}  // namespace cairn::node
