// Proposals: commands of clients, from their arrival at the leader until their entry is committed.
//
// It owns the batcher, the commands that ride in the log, and the lease clock of this leader. It
// steps proposals into the Raft core. It answers commands that are refused, dropped or overtaken;
// the apply thread answers the others. A command that was never in the log is not applied; what
// becomes of one that was is unknown until an entry is committed in its place.
//
// Commands that are expected to hold up apply for long go one at a time, each in an entry of its own,
// and the next one only when this node has applied the last: so a command of few steps waits for one
// of many at most. They are not held back for long either: whatever else waits, one of them is under
// way. A command of maintenance is one of these; while one waits or is under way, others are refused.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "base/status.h"
#include "node/batcher.h"
#include "node/heavy_commands.h"
#include "node/peer_directory.h"
#include "node/pending_command.h"
#include "node/proposal_tracker.h"
#include "node/replica_context.h"
#include "node/work_estimates.h"
#include "raft/core.h"
#include "state_machine/command.h"

namespace cairn::node {

// One owner (the core thread).
class Proposals {
 public:
  Proposals(ReplicaContext* context, const PeerDirectory* directory);

  // Of a client. Refused (not applied) by who does not lead, or when too much waits.
  void Add(PendingCommandPtr command);
  // Of the leader itself; nobody waits for the answer.
  void AddOwn(state_machine::Command command);
  // Proposes a command that lets prepared transactions expire whose deadline has come. They do not
  // expire by themselves: the lease clock moves only by entries.
  void ExpirePrepared(uint64_t next_deadline_lease_ms);
  // Puts into the Raft core what is ready.
  void Step();
  // When to call Step though nothing has happened; max(): not before an event.
  SteadyTime next_step() const;

  void OnAccepted(const raft::Accepted& accepted);
  // True if it was a proposal of this part.
  bool OnDropped(const raft::Dropped& dropped);
  void OnPersist(const raft::Persist& persist);
  // Gives the commands that wait for the results of these entries.
  std::vector<EntryWaiters> TakeCommitted(const std::vector<raft::Entry>& entries);
  void OnApplied(const AppliedReport& report);
  // This node does not lead (any more).
  void OnFollowing();
  void Expire(SteadyTime now);

  // The state holds everything up to `index`, by a snapshot.
  void OnOvertaken(LogIndex index);
  // This node will not see the results of what is in the log.
  void FailLogged(const Status& unknown) { tracker_.FailAll(unknown); }
  // Answers what was never in the log.
  void RefuseQueued(const Status& not_applied);
  // The node ends: answers everything that waits.
  void Stop();

  // None: this node does not lead, or has not yet applied an entry of its own term.
  std::optional<uint64_t> LeaseNow(SteadyTime now) const;
  // No write of this node waits for its fate.
  bool settled() const { return proposing_.empty() && tracker_.entries() == 0; }
  size_t queued_bytes() const { return batcher_.bytes() + heavy_.bytes(); }
  // Something waits for the next entry to be applied.
  bool awaits_applied() const {
    return (context_.is_leader() && !lease_) || (heavy_entry_ && !heavy_.empty());
  }

 private:
  struct InFlightEntry {
    size_t commands = 0;
    SteadyTime proposed{0};
  };
  // Where the lease clock stood when the first entry of this leader's own term was applied.
  struct Lease {
    Term term;
    uint64_t base_ms = 0;
    SteadyTime since{0};
  };

  // The heavy command that is under way.
  struct HeavyEntry {
    uint64_t proposal = 0;
    LogIndex index;  // none: not yet in the log
    bool maintenance = false;
  };

  void Queue(PendingCommandPtr command);
  void StepHeavy();
  bool maintenance_taken() const {
    return heavy_.has_maintenance() || (heavy_entry_ && heavy_entry_->maintenance);
  }
  void ForgetCommitted(SteadyTime now);
  uint64_t ProposeBatch(std::vector<PendingCommandPtr> batch);

  ReplicaContext& context_;
  const PeerDirectory& directory_;
  const uint64_t heavy_steps_min_;
  WorkEstimates estimates_;
  Batcher batcher_;
  HeavyCommands heavy_;
  std::optional<HeavyEntry> heavy_entry_;
  std::map<uint64_t, std::vector<PendingCommandPtr>> proposing_;  // stepped, no answer yet
  ProposalTracker tracker_;
  // Entries of this leader that are not yet committed.
  std::map<LogIndex, InFlightEntry> uncommitted_;
  std::optional<Lease> lease_;
  std::optional<SteadyTime> expiry_proposed_;
};

}  // namespace cairn::node
