// TimeSeriesUpkeep: proposes what time series do by themselves, a slice at a time.
//
// The leader proposes a look about once a minute while there are time series, and the next slice a
// moment after the last one while there is more to do. What a slice does follows from the state and
// from the time of its entry alone. So it does not matter which leader proposes it, how often, or
// whether two leaders both do. One slice is under way at a time, and slices rest in between, so
// writers keep their share.
#pragma once

#include <memory>

#include "node/pending_command.h"
#include "node/proposals.h"
#include "node/replica_context.h"
#include "state_machine/state_machine.h"

namespace cairn::node {

// Not thread-safe: the core thread owns it.
class TimeSeriesUpkeep {
 public:
  TimeSeriesUpkeep(ReplicaContext* context, Proposals* proposals)
      : context_(*context), proposals_(*proposals) {}

  // Call while this node leads, and may propose; with what is applied.
  void Step(state_machine::TimeSeriesUpkeep work);

 private:
  ReplicaContext& context_;
  Proposals& proposals_;
  std::weak_ptr<PendingCommand> proposed_;
  SteadyTime last_{0};  // when a slice was last under way
  bool begun_ = false;
};

}  // namespace cairn::node
