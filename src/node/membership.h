// MembershipJob: one change of membership, from the operator's wish to the last configuration
// entry. It is a pure state machine on the leader: what it sees of the core goes in, proposals and
// progress come out.
//
// A new member is always a learner first, so that an empty log never counts in a quorum. The member
// votes once it has caught up. A node that lost its disk comes back under a new member id. One
// joint change lets the new member in and the old one out, so that the votes of both are never
// counted side by side.
//
// A member that only lives at another address is the same member: its address changes, and nothing
// else.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "base/clock.h"
#include "base/status.h"
#include "node/replica.h"
#include "raft/core.h"
#include "transport/transport.h"

namespace cairn::node {

// When this node last heard each member.
struct Contacts {
  MemberId self;
  std::map<MemberId, SteadyTime> last_heard;
  SteadyTime now{0};
  SteadyTime silence_max{0};  // two election timeouts; a member silent for longer counts as dead

  bool HeardSince(MemberId member, SteadyTime since) const;
  bool Alive(MemberId member) const { return HeardSince(member, now - silence_max); }
};

// Not thread-safe: the core thread owns it.
class MembershipJob {
 public:
  struct Callbacks {
    std::function<void(const std::string&)> progress;
    std::function<void(Status)> done;  // once
    // Called when the entry that makes the new member a learner is committed. A joining node waits
    // for it.
    std::function<void(MemberId)> admitted;
  };
  // What the owner must do next. Each request is given once.
  struct Requests {
    std::optional<std::string> probe;            // address; answer with OnProbed
    std::optional<raft::Configuration> propose;  // answer with OnRefused if it is dropped
  };

  // The operator asked for the change. `engine` and `cluster_id` are this node's.
  MembershipJob(Replica::MembershipChange change, uint64_t cluster_id, EngineId engine,
                SteadyTime deadline, Callbacks callbacks);
  // A wiped node asks to be let in again. The job needs no probe: the node told its nonce itself.
  MembershipJob(const transport::JoinRequest& join, SteadyTime deadline, Callbacks callbacks);
  // Answers `done` (the outcome is unknown) unless it was answered before.
  ~MembershipJob();

  // Looks at the core, and takes the next step if the time for it has come. `level` is the feature
  // level of the cluster. While the level may be about to rise it is none, and nothing is proposed.
  void Step(const raft::CoreStatus& core, const Contacts& contacts, std::optional<uint64_t> level);
  // This node does not lead any more. `removed_itself`: a configuration without this node is
  // committed, which is how the job of a leader that removes itself ends.
  void OnDeposed(bool removed_itself);
  void OnProbed(Result<transport::ProbeReply> reply);
  void OnRefused(const std::string& why, bool retry);
  Requests TakeRequests();

  bool finished() const { return finished_; }
  uint64_t node_id() const { return change_.node_id; }
  uint64_t nonce() const { return nonce_; }
  // Nobody waits for the change any more.
  bool abandoned() const { return change_.gone != nullptr && *change_.gone; }
  // Waits for the new member, perhaps for long, and nothing is in the log that is not committed.
  bool catching_up() const { return phase_ == Phase::kCatchingUp; }
  void Fail(Status status) { Finish(std::move(status)); }

 private:
  enum class Phase {
    kStart,
    kProbing,
    kMoving,
    kAddingLearner,
    kCatchingUp,
    kPromoting,
    kRemoving
  };

  void TakeStep(const raft::CoreStatus& core, const Contacts& contacts);
  // Whether a change of voters may be proposed.
  enum class Verdict { kYes, kNotYet, kTooFewAlive };

  void Begin(const raft::CoreStatus& core, const Contacts& contacts);
  void BeginRemove(const raft::CoreStatus& core, const Contacts& contacts);
  void BeginAdd(const raft::CoreStatus& core, const Contacts& contacts);
  // The member was found at another address than the configuration records.
  void Move(const raft::CoreStatus& core, const Contacts& contacts);
  void ProposeMove(const raft::CoreStatus& core);
  void ProposeLearner(const raft::CoreStatus& core);
  void CatchUp(const raft::CoreStatus& core, const Contacts& contacts);
  void Promote(const raft::CoreStatus& core, const Contacts& contacts);
  Verdict AskForLife(const raft::Configuration& now, const raft::Configuration& next,
                     const Contacts& contacts);
  void Propose(raft::Configuration config, Phase phase);
  void Progress(const std::string& line);
  void Finish(Status status);
  std::string Describe() const;

  const Replica::MembershipChange change_;
  const uint64_t cluster_id_ = 0;
  const EngineId engine_;
  const SteadyTime deadline_;
  Callbacks callbacks_;
  uint64_t nonce_ = 0;  // of the new member; 0 while not known
  // The highest feature level that the new member knows; none while not known.
  std::optional<uint64_t> level_max_;
  // What the process at the address said of itself; none if the node asked to be let in by itself.
  std::optional<transport::ProbeReply> told_;
  MemberId replaced_;  // the voter that goes out when the new member comes in
  MemberId new_member_;
  Phase phase_ = Phase::kStart;
  bool waiting_ = false;  // a proposal or probe is under way
  // Since when the member has been alive under another start than that of the process that was
  // found.
  std::optional<SteadyTime> twin_since_;
  // Since when the job awaits signs of life from the members that must confirm the change of
  // voters.
  std::optional<SteadyTime> asked_for_life_;
  SteadyTime next_progress_{0};
  Requests requests_;
  bool finished_ = false;
};

// The member that has this node id; none if there is no such member.
MemberId FindMember(const raft::Configuration& config, uint64_t node_id);

}  // namespace cairn::node
