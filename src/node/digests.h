// Digests: whether this member holds what the majority holds, and what follows if it does not.
//
// Two things can go wrong with what a node holds:
// - The node has applied something else than the others. Then its digest at a digest entry is not
//   that of the majority.
// - The file is no longer what was written. Then the scrub finds rows that do not add up to the
//   sums.
// In both cases the node is fenced: it leaves service and asks for a snapshot, as after any damage
// (recovery.h). Its log is not in doubt: the node goes on acknowledging entries and voting, and
// both count.
//
// Digests owns the last digest, the findings of the scrub, and the fence. It sends reports and
// verdicts to other members, and asks the Host to take the node out of service.
#pragma once

#include <cstdint>
#include <optional>

#include "base/clock.h"
#include "base/ids.h"
#include "base/status.h"
#include "node/digest_watch.h"
#include "node/leadership_fitness.h"
#include "node/replica_context.h"
#include "raft/core.h"
#include "state_machine/state_machine.h"

namespace cairn::node {

// Not thread-safe: the core thread owns it.
class Digests {
 public:
  class Host {
   public:
    virtual ~Host() = default;
    virtual bool in_service() const = 0;
    // A snapshot is being put in the place of the database.
    virtual bool replacing_database() const = 0;
    // Takes the node out of service at once.
    virtual void OnFenced(const Status& why) = 0;
  };
  Digests(ReplicaContext* context, LeadershipFitness* fitness, Host* host);

  // The node was fenced before it was started. Returns false if the node must serve all the same,
  // because no other node has a copy of the data.
  bool StartFenced(const std::string& why);

  // Whether the leader should put a digest entry into the log. While nothing is written no digest
  // is proposed, because the last digest still holds.
  bool Due(LogIndex applied) const;
  void OnProposed();
  void OnTick();
  // This node leads from now on.
  void OnLeading();

  // What the state machine holds at `index`, which a digest entry asked for.
  void OnDigest(LogIndex index, const state_machine::StateDigest& digest);
  // The scrub has read the state at `index` again. OK: all is right. Otherwise the file is damaged.
  void OnScrubbed(LogIndex index, const Status& found);
  void OnReport(MemberId from, const raft::DigestReport& report);
  void OnVerdict(MemberId from, const raft::DigestVerdict& verdict);
  // A majority gave other results up to `index` than this member (result_comparison.h).
  void OnWrongResults(LogIndex index);

  // The database was replaced by a snapshot of `index`. Findings about earlier states are of
  // another file.
  void OnReplaced(LogIndex index) { replaced_at_ = index; }
  // A backup took the place of the database at the entry `index`. What the scrub has found is of
  // another file, which is gone. A fence stays: it is about what this node made of the log, and a
  // restore keeps some of that (versions, sessions).
  void OnRestored(LogIndex index);
  // The database was replaced or opened anew. If it is damaged, the scrub finds the damage again.
  void ForgetFindings();

  // Not OK: the node is fenced, and why.
  const Status& fence() const { return fence_; }
  DigestStatus status() const;

 private:
  struct OwnDigest {
    LogIndex index;
    state_machine::StateDigest digest;
    bool settled = false;  // known to be right
  };

  void Tell();
  void Settle(LogIndex index, const state_machine::StateDigest& right);
  bool MayLeaveService(MemberId member) const;
  void WaitToLetMembersLeave();
  void Fence(Status why);  // by value: `why` may be damage_, which Fence clears
  // Whether a finding of this index is about the present database.
  bool Concerns(LogIndex index) const;

  const ReplicaContext& context_;
  LeadershipFitness* const fitness_;
  Host* const host_;

  DigestWatch watch_;  // of a leader
  DigestStatus status_;
  std::optional<OwnDigest> own_;  // the last one
  Status damage_;                 // what the scrub has found; not OK: the node is to leave service
  Status fence_;
  LogIndex replaced_at_;
  SteadyTime next_digest_{0};
  uint64_t next_report_tick_ = 0;
  int reports_left_ = 0;
  uint64_t next_leave_tick_ = 0;  // of a leader: before this tick no member may leave service
  Term leads_in_;                 // of the last OnLeading
};

}  // namespace cairn::node
