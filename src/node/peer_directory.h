// PeerDirectory: the configuration in force, and at which addresses each member is looked for.
//
// Addresses are hints, in this order: where the process that speaks for the member said it lives,
// where the configuration says so, where --peers says that its node lives. Who answers there, its
// hello says. PeerDirectory owns the addresses of members that leave, and tells the transport
// whenever the list changes.
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

// One owner (the core thread).
class PeerDirectory {
 public:
  PeerDirectory(ReplicaContext* context, const Callers* callers)
      : context_(*context), callers_(*callers) {}

  // This node takes part from now on. `admitted_by` is the configuration that it was told when it
  // was let in, or that it founded the cluster with.
  void Start(raft::Configuration admitted_by);
  // A configuration that is committed. It may be from before the one in force: after trouble
  // entries are handed out once more. True if it is news.
  bool Adopt(const raft::Configuration& config, LogIndex index);
  // A process has told this node who it is, and where it lives.
  void OnCaller();
  void OnTick();

  std::optional<LeaderHint> leader_hint() const;
  // UNAVAILABLE, not applied, with the hint.
  Status NotLeader() const;

 private:
  struct Leaving {
    std::string address;
    uint64_t until_tick = 0;
  };
  void Publish();

  ReplicaContext& context_;
  const Callers& callers_;
  raft::Configuration admitted_by_;
  std::map<MemberId, Leaving> leaving_;
  uint64_t published_callers_ = 0;  // their version
};

}  // namespace cairn::node
