// MembershipChanges: changes of membership on the leader, one at a time.
//
// An operator asks for a change, a wiped node asks to be let in again, and the leader itself goes on
// with a replacement that another leader began, and writes down where members live and which of their
// starts it has heard of. It owns the job that is under way (MembershipJob),
// proposes configurations to the Raft core and probes nodes. A job that fails tells who asked for
// it; losing the leadership ends the job.
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
#include "node/membership.h"
#include "node/peer_directory.h"
#include "node/replica.h"
#include "node/replica_context.h"
#include "node/standing.h"
#include "raft/core.h"
#include "transport/transport.h"

namespace cairn::node {

// One owner (the core thread).
class MembershipChanges {
 public:
  MembershipChanges(ReplicaContext* context, const PeerDirectory* directory, const Hearing* hearing,
                    const Callers* callers, const Standing* standing)
      : context_(*context),
        directory_(*directory),
        hearing_(*hearing),
        callers_(*callers),
        standing_(*standing) {}

  // By the operator.
  void Change(Replica::MembershipChange change, SteadyTime deadline,
              std::function<void(const std::string&)> progress, std::function<void(Status)> done);
  // By a wiped node.
  void Join(const transport::JoinRequest& request,
            const std::function<void(Result<transport::JoinReply>)>& reply);
  void OnTick();
  // True if it was a proposal of this part.
  bool OnDropped(const raft::Dropped& dropped);
  // This node does not lead (any more).
  void OnFollowing();
  // The node ends: answers who waits.
  void Stop(const Status& why);

 private:
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
  std::unique_ptr<MembershipJob> job_;
  uint64_t job_number_ = 0;
  bool job_is_ours_ = false;              // not an operator's: it gives way to one
  std::optional<uint64_t> job_proposal_;  // id of its ProposeConfig
  // Id of the ProposeConfig that writes down what is known of the members, and the configuration
  // that it was made from.
  std::optional<uint64_t> members_proposal_;
  LogIndex members_proposed_at_;
  // Of the callers and the configuration that were found to say the same.
  uint64_t agreed_callers_ = 0;
  LogIndex agreed_config_;
};

}  // namespace cairn::node
