// ResultComparison: members with different builds of the engine answer with one voice.
//
// It owns the agreement on results (result_agreement.h) and the outcomes that wait for it. It tells
// the leader what this member gave, and as the leader tells all what is agreed. While all builds are
// the same it sends nothing and holds nothing back.
//
// A member that is outvoted is fenced as one with a wrong digest (digests.h). What it held back is
// answered as unknown: the entry is in the log, and the majority has given another result than the
// one that is known here.
#pragma once

#include <cstdint>
#include <deque>
#include <string>

#include "base/clock.h"
#include "base/ids.h"
#include "base/status.h"
#include "node/digests.h"
#include "node/replica_context.h"
#include "node/replica_effects.h"
#include "node/result_agreement.h"
#include "raft/core.h"

namespace cairn::node {

// One owner (the core thread).
class ResultComparison {
 public:
  ResultComparison(ReplicaContext* context, Digests* digests)
      : context_(*context), digests_(*digests) {}

  // This node takes part from now on.
  void Start(const ResultsAt& at);
  void OnCaller(MemberId member, const std::string& engine_build);
  void OnConfig() { agreement_.SetConfig(context_.config); }
  // Role, term or leader have changed.
  void OnLeaderChanged();
  void OnApplied(const AppliedReport& report);
  // The database was replaced or opened anew, and stands there.
  void OnRestored(const ResultsAt& at);
  void OnReport(MemberId from, const raft::ResultReport& report);
  void OnVerdict(MemberId from, const raft::ResultVerdict& verdict);
  void OnTick();

  // Outcomes wait, and results are to be told entry by entry.
  bool comparing() const { return agreement_.comparing(); }
  // What may be read, of what is applied.
  LogIndex readable(LogIndex applied) const;
  bool settled() const { return held_.empty(); }
  // In words, of a leader: no majority has agreed for long. Empty: none of it.
  std::string doubt() const;

  void Expire(SteadyTime now);
  void FailHeld(const Status& unknown);

 private:
  void Settle();
  void Release();
  void TellLeader(LogIndex told);
  void TellMembers();

  const ReplicaContext& context_;
  Digests& digests_;
  ResultAgreement agreement_;
  std::deque<HeldOutcomes> held_;  // in the order of their entries
  LogIndex told_;                  // to the leader, up to here
  uint64_t next_tell_tick_ = 0;
  uint64_t agreed_tick_ = 0;  // when all that is applied was agreed last
};

}  // namespace cairn::node
