// MembershipChanges: changes of membership on the leader, one at a time.
//
// An operator asks for a change, a wiped node asks to be let in again, and the leader itself goes on
// with a replacement that another leader began. It owns the job that is under way (MembershipJob),
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
#include "node/hearing.h"
#include "node/membership.h"
#include "node/peer_directory.h"
#include "node/replica.h"
#include "node/replica_context.h"
#include "raft/core.h"
#include "transport/transport.h"

namespace cairn::node {

// One owner (the core thread).
class MembershipChanges {
 public:
  MembershipChanges(ReplicaContext* context, const PeerDirectory* directory, const Hearing* hearing)
      : context_(*context), directory_(*directory), hearing_(*hearing) {}

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
  void ReplicateFoundingConfig();

  ReplicaContext& context_;
  const PeerDirectory& directory_;
  const Hearing& hearing_;
  std::unique_ptr<MembershipJob> job_;
  uint64_t job_number_ = 0;
  bool job_is_ours_ = false;              // not an operator's: it gives way to one
  std::optional<uint64_t> job_proposal_;  // id of its ProposeConfig
  std::optional<uint64_t> founding_proposal_;
};

}  // namespace cairn::node
