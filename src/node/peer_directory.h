// PeerDirectory: the configuration in force, and at which address each member is talked to.
//
// It owns the addresses of members that leave and of callers that only later configurations name.
// It tells the transport whenever the list changes.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "base/ids.h"
#include "base/status.h"
#include "node/replica_context.h"
#include "raft/types.h"

namespace cairn::node {

// One owner (the core thread).
class PeerDirectory {
 public:
  explicit PeerDirectory(ReplicaContext* context) : context_(*context) {}

  // This node takes part from now on. `admitted_by` is the configuration that it was told when it
  // was let in, or that it founded the cluster with.
  void Start(raft::Configuration admitted_by);
  // A configuration that is committed. It may be from before the one in force: after trouble
  // entries are handed out once more. True if it is news.
  bool Adopt(const raft::Configuration& config, LogIndex index);
  // That member sends messages, and is to be answered there.
  void OnCaller(MemberId member, const std::string& address);
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
  raft::Configuration admitted_by_;
  std::map<MemberId, Leaving> leaving_;
  std::map<MemberId, std::string> callers_;
};

}  // namespace cairn::node
