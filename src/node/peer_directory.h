// PeerDirectory: the configuration in force, and the addresses at which to look for each member.
//
// Addresses are hints, in this order: where the process that speaks for the member said that it
// lives, where the configuration says so, where --peers says that the member's node lives. The
// hello of a process says who it is. PeerDirectory owns the addresses of members that leave, and
// tells the transport whenever the list changes.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "base/ids.h"
#include "base/status.h"
#include "node/callers.h"
#include "node/replica_context.h"
#include "raft/types.h"

namespace cairn::node {

// Not thread-safe: the core thread owns it.
class PeerDirectory {
 public:
  PeerDirectory(ReplicaContext* context, const Callers* callers)
      : context_(*context), callers_(*callers) {}

  // This node takes part from now on. `admitted_by` is the configuration that the node was told
  // when it was let in, or with which it founded the cluster.
  void Start(raft::Configuration admitted_by);
  // A committed configuration. It may be older than the one in force: after trouble, entries are
  // handed out once more. Returns true if the configuration is news.
  bool Adopt(const raft::Configuration& config, LogIndex index);
  // A process has told this node who it is and where it lives.
  void OnCaller();
  void OnTick();
  // This process has no part in the group any more (ReplicaContext::silent). It says hello to
  // nobody from now on.
  void OnSilent() { Publish(); }

  std::optional<LeaderHint> leader_hint() const;
  // UNAVAILABLE, not applied, with the hint.
  Status NotLeader() const;

 private:
  struct Leaving {
    uint64_t node_id = 0;
    std::string address;
    uint64_t until_tick = 0;
  };
  void Publish();

  ReplicaContext& context_;
  const Callers& callers_;
  raft::Configuration admitted_by_;
  std::map<MemberId, Leaving> leaving_;
  uint64_t published_callers_ = 0;  // the version of the callers that was published
};

}  // namespace cairn::node
