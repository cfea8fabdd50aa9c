// ResultComparison: members with different builds of the engine answer with one voice.
//
// ResultComparison owns the agreement on results (result_agreement.h) and the outcomes that wait
// for the agreement. It reports the results of this member to the leader. On the leader it tells
// all members what is agreed. While all builds are the same it sends nothing and holds nothing
// back.
//
// Whether results are held back is read when they are there, and not when their entry was given to
// apply. Apply may be seconds behind. The bad schedule otherwise: an entry waits for apply on all
// nodes, while all builds are the same. Two of three nodes restart with another build, which gives
// another result, and the leader knows of both. The leader applies the entry at last, and answers
// with a result that no majority gives.
//
// A member that is outvoted is fenced, as a member with a wrong digest is (digests.h). It answers
// what it held back as unknown: the entry is in the log, and the majority has given another result
// than the one that this member knows.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "base/clock.h"
#include "base/ids.h"
#include "base/status.h"
#include "node/digests.h"
#include "node/hearing.h"
#include "node/replica_context.h"
#include "node/replica_effects.h"
#include "node/result_agreement.h"
#include "raft/core.h"

namespace cairn::node {

// Not thread-safe: the core thread owns it.
class ResultComparison {
 public:
  ResultComparison(ReplicaContext* context, Digests* digests, const Hearing* hearing)
      : context_(*context), digests_(*digests), hearing_(*hearing) {}

  // This node takes part from now on.
  void Start(const ResultsAt& at);
  void OnCaller(MemberId member, const std::string& engine_build);
  // Before the message of that member counts.
  void OnHeard(MemberId member);
  void OnConfig();
  // Role, term or leader have changed.
  void OnLeaderChanged();
  void OnApplied(const AppliedReport& report);
  // The database was replaced or opened anew, and stands at `at`.
  void OnRestored(const ResultsAt& at);
  void OnReport(MemberId from, const raft::ResultReport& report);
  void OnVerdict(MemberId from, const raft::ResultVerdict& verdict);
  void OnTick();

  // Whether outcomes wait, and results are reported entry by entry.
  bool comparing() const { return agreement_.comparing(); }
  // The same, for the apply thread.
  std::shared_ptr<const std::atomic<bool>> hold() const { return hold_; }
  // The index up to which the state may be read, given that `applied` is applied.
  LogIndex readable(LogIndex applied) const;
  bool settled() const { return held_.empty(); }
  // On a leader, in words: no majority has agreed for long, or none ever will. Empty otherwise.
  std::string doubt() const;

  void Expire(SteadyTime now);
  void FailHeld(const Status& unknown);

 private:
  void PublishHold() { *hold_ = comparing(); }
  void LookForSilence();
  void LookForDivision();
  std::string Nodes(const std::set<MemberId>& members) const;
  std::string DivisionInWords() const;
  void Settle();
  void Release();
  void TellLeader(LogIndex told);
  void TellMembers();

  const ReplicaContext& context_;
  Digests& digests_;
  const Hearing& hearing_;
  ResultAgreement agreement_;
  // Set before anything that follows from the news counts.
  const std::shared_ptr<std::atomic<bool>> hold_ = std::make_shared<std::atomic<bool>>(true);
  std::deque<HeldOutcomes> held_;  // in the order of their entries
  LogIndex told_;                  // reported to the leader, up to here
  uint64_t next_tell_tick_ = 0;
  uint64_t agreed_tick_ = 0;          // when last all that was applied was agreed
  std::optional<Division> division_;  // of a leader, as of the last heartbeat
};

}  // namespace cairn::node
