// RemovalWatch: finds out that this member was removed from the cluster.
//
// The finding comes from a configuration that this node applies, or from a peer that this node asks
// when it has had no leader for long. RemovalWatch owns the finding, which is for ever. It probes
// peers, keeps the Raft core from campaigning, and tells ReplicaCore once.
#pragma once

#include <cstdint>
#include <functional>

#include "base/ids.h"
#include "base/status.h"
#include "node/replica_context.h"
#include "raft/types.h"

namespace cairn::node {

// Not thread-safe: the core thread owns it.
class RemovalWatch {
 public:
  RemovalWatch(ReplicaContext* context, std::function<void(const Status&)> on_removed)
      : context_(*context), on_removed_(std::move(on_removed)) {}

  // A committed configuration, of the entry at `index`.
  void Check(const raft::Configuration& config, LogIndex index);
  void OnTick();

  // Not OK: this member was removed. The message is for the operator.
  const Status& removed() const { return removed_; }

 private:
  void Ask();

  ReplicaContext& context_;
  const std::function<void(const Status&)> on_removed_;
  Status removed_;
  uint64_t leaderless_ticks_ = 0;
  uint64_t next_question_tick_ = 0;
  MemberId last_asked_;
};

}  // namespace cairn::node
