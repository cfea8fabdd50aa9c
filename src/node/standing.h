// Standing: whether this process is the one that speaks for its member.
//
// A process that runs from a copy of the member's data, or from data that were set back, finds out
// in one of two ways. A committed configuration records a start of the member that this process
// does not know. Or a voter refuses this process because the voter knows such a start from its own
// log, or knows a start that follows this one (Callers::Admit). From then on the process has no
// part in the group: it takes no message, sends none, says hello to nobody, and serves nothing. It
// writes the finding down, so that no later start forgets it.
//
// The word of one voter is enough. The bad schedule otherwise: the process runs from a copy, one
// voter says so, and another voter was down when the member's later start was recorded. Until a
// second voter confirms, the process and the voter that was down elect a leader that lacks what the
// member acknowledged. A voter that is behind, or was itself set back, accuses nobody: it knows
// only earlier starts, and the process follows those.
#pragma once

#include <cstdint>
#include <functional>

#include "base/ids.h"
#include "base/status.h"
#include "node/replica_context.h"
#include "raft/types.h"
#include "transport/transport.h"

namespace cairn::node {

// Not thread-safe: the core thread owns it.
class Standing {
 public:
  // `on_lost` is called once, with the reason in words for the operator.
  Standing(ReplicaContext* context, transport::Start start,
           std::function<void(const Status&)> on_lost);

  const transport::Start& start() const { return start_; }
  // Looks at a committed configuration.
  void Check(const raft::Configuration& config);
  // A peer has refused this process; see transport::Handler.
  void OnRefused(MemberId by, const Status& why);
  // The leader `by` knows that this member acknowledged entries that the member's log does not
  // hold.
  void OnAcknowledgedLost(MemberId by);
  void OnTick();

  // Not OK: this process is a copy.
  const Status& lost() const { return lost_; }
  // Not OK: peers have said for some time that another process runs as this member.
  Status twin() const;

 private:
  // Whether the word of this peer counts.
  bool MayJudge(MemberId by) const;
  void Lose(const std::string& why);

  ReplicaContext& context_;
  const transport::Start start_;
  const std::function<void(const Status&)> on_lost_;
  Status lost_;
  Status twin_;
  SteadyTime twin_since_{0};
  uint64_t twin_until_tick_ = 0;
};

}  // namespace cairn::node
