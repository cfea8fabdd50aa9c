// LeadershipFitness: tells the Raft core what this node cannot do, and hands leadership over while
// another node can do it better.
//
// LeadershipFitness owns what the Raft core was told last, and when the next hand-over may be
// tried. It steps the Raft core and calls nobody else. A hand-over is asked for, not forced: when
// all disks are full, or the others lack what only this log holds, a leader that can do little is
// better than none.
#pragma once

#include <cstdint>

#include "base/ids.h"
#include "node/replica_context.h"
#include "raft/core.h"

namespace cairn::node {

// Whether `member` could take over, as far as the leader with this status knows.
bool PeerCanLead(const raft::CoreStatus& leader, MemberId member);

// Not thread-safe: the core thread owns it.
class LeadershipFitness {
 public:
  explicit LeadershipFitness(ReplicaContext* context) : context_(*context) {}

  // Tells the Raft core, if it is news.
  void Tell(const raft::Fitness& now);
  // This node has just become unfit: the next hand-over need not wait.
  void HandOverSoon() { next_handover_tick_ = 0; }
  // Called at each tick while this node should not lead. `troubled`: the node does not even apply
  // the log.
  void OnTickUnfit(bool troubled);
  // For a leader with a damaged database that may not leave service because other members are out
  // of it. These members may wait for a snapshot, which only the leader sends, and refuse the
  // snapshot of this leader. Without a hand-over the leader and these members would wait for each
  // other for ever.
  void HandOverDamaged();

 private:
  bool AnotherCanLead() const;

  const ReplicaContext& context_;
  raft::Fitness told_;
  uint64_t next_handover_tick_ = 0;
};

}  // namespace cairn::node
