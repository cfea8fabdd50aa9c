// NewClusterLevel: lets a new cluster begin at the highest feature level that its members know.
//
// Each founder makes its database by itself, so all begin at kLevelFirst, whatever they know. Later
// only an operator raises the level, because the level cannot fall, and an operator must be able to
// go back to the old build. Nobody goes back with a cluster that has done nothing yet: its leader
// raises the level at once.
//
// A cluster is new if no command has been applied before the first entry of the leader's term. The
// rule looks at what is applied, and not at the term's number or the log's length, because a
// restarted node of an old cluster may begin to apply its log anew.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>

#include "base/ids.h"
#include "node/level_raise.h"
#include "node/replica_context.h"

namespace cairn::node {

// Not thread-safe: the core thread owns it.
class NewClusterLevel {
 public:
  using Raise = std::function<void(SteadyTime deadline, LevelRaise::Done done)>;

  // `raise` may refuse, and is then called again later.
  NewClusterLevel(ReplicaContext* context, Raise raise)
      : context_(*context), raise_(std::move(raise)) {}

  // Call for each report before the leader proposes commands of clients after it.
  void OnApplied(const AppliedReport& report);
  void OnTick();

 private:
  // Until then a founder that does not answer yet (it listens a moment later) may do so.
  static constexpr int kTriesMax = 50;

  ReplicaContext& context_;
  const Raise raise_;
  Term judged_;            // the term of which `tries_left_` speaks
  int tries_left_ = 0;     // 0: the cluster is not new, or does not rise by itself any more
  uint64_t next_try_ = 0;  // in ticks
};

}  // namespace cairn::node
