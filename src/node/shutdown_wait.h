// ShutdownWait: the clean end of a node, from the request until nothing of its own is undecided.
//
// ShutdownWait owns the deadline and the caller that waits, and hands leadership over by the Raft
// core. It gives up at the deadline, or when no leader is left to decide the last writes.
#pragma once

#include <cstdint>
#include <functional>

#include "base/clock.h"
#include "node/replica_context.h"

namespace cairn::node {

// Not thread-safe: the core thread owns it.
class ShutdownWait {
 public:
  explicit ShutdownWait(ReplicaContext* context) : context_(*context) {}

  void Begin(SteadyTime deadline, std::function<void()> done);
  // `settled`: no write of this node waits for its fate.
  void Step(bool settled);
  // The node ends: tells the caller that waits.
  void Stop();

 private:
  ReplicaContext& context_;
  SteadyTime deadline_{0};
  uint64_t leader_known_tick_ = 0;  // when a leader was last known
  std::function<void()> done_;
};

}  // namespace cairn::node
