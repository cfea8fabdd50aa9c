// LeadershipFitness: tells the Raft core what this node can not do, and hands leadership over while
// another node can do it better.
//
// It owns what the Raft core was told last and when the next hand-over may be tried. It steps the
// Raft core only. A hand-over is asked for, not forced: when all disks are full, or the others lack
// what only this log holds, a leader that can do little is better than none.
#pragma once

#include <cstdint>

#include "base/ids.h"
#include "node/replica_context.h"
#include "raft/core.h"

namespace cairn::node {

// Whether `member` could take over, as the leader with this status knows it.
bool PeerCanLead(const raft::CoreStatus& leader, MemberId member);

// One owner (the core thread).
class LeadershipFitness {
 public:
  explicit LeadershipFitness(ReplicaContext* context) : context_(*context) {}

  // Tells the Raft core, if it is news.
  void Tell(const raft::Fitness& now);
  // This node has just become unfit: the next hand-over need not wait.
  void HandOverSoon() { next_handover_tick_ = 0; }
  // Called with each tick while this node should not lead. `troubled`: it does not even apply the
  // log.
  void OnTickUnfit(bool troubled);
  // For a leader with a damaged database that may not leave service, because others are out of it.
  // They may wait for a snapshot, which comes from the leader, and this one's they refuse: they and
  // it would wait for each other for ever.
  void HandOverDamaged();

 private:
  bool AnotherCanLead() const;

  const ReplicaContext& context_;
  raft::Fitness told_;
  uint64_t next_handover_tick_ = 0;
};

}  // namespace cairn::node
