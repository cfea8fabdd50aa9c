// Proposals: commands of clients, from their arrival at the leader until their entry is committed.
//
// Proposals owns the batcher, the commands that are in the log, the lease clock of this leader, and
// the time of its entries. It steps proposals into the Raft core. It answers commands that are
// refused, dropped or overtaken; the apply thread answers the others. A command that was never in
// the log is not applied. The fate of a command that was in the log is unknown until an entry is
// committed in its place.
//
// Commands that are expected to hold up apply for long are heavy. Heavy commands go one at a time,
// each in an entry of its own, and the next one only when this node has applied the last one. So a
// light command waits for at most one heavy command. Heavy commands are not held back for long
// either: whatever else waits, one of them is under way. A command of maintenance is heavy. While a
// command of maintenance waits or is under way, other commands of maintenance are refused.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "base/status.h"
#include "node/batcher.h"
#include "node/entry_time.h"
#include "node/heavy_commands.h"
#include "node/peer_directory.h"
#include "node/pending_command.h"
#include "node/proposal_tracker.h"
#include "node/replica_context.h"
#include "node/work_estimates.h"
#include "raft/core.h"
#include "state_machine/command.h"

namespace cairn::node {

// Not thread-safe: the core thread owns it.
class Proposals {
 public:
  Proposals(ReplicaContext* context, const PeerDirectory* directory);

  // Adds a client's command. The command is refused (not applied) if this node does not lead, or
  // when too much waits.
  void Add(PendingCommandPtr command);
  // Adds a command of the leader itself. Nobody waits for the answer.
  void AddOwn(state_machine::Command command);
  // Proposes a command that lets the prepared transactions expire whose deadline has come. Without
  // it they would not expire in an idle cluster, because only entries move the lease clock.
  void ExpirePrepared(uint64_t next_deadline_lease_ms);
  // Steps the batches that are ready into the Raft core.
  void Step();
  // When to call Step if nothing happens before. max(): not before an event.
  SteadyTime next_step() const;

  // The room on this node's disk. The work that an entry may do is held to what the room bears: the
  // bad schedule without this is one lawful request that fills the disk of each node at apply, so
  // that no node can ever pass its entry.
  void OnFreeBytes(uint64_t bytes) { free_bytes_ = bytes; }

  void OnAccepted(const raft::Accepted& accepted);
  // Returns true if this part made the proposal.
  bool OnDropped(const raft::Dropped& dropped);
  void OnPersist(const raft::Persist& persist);
  // Returns the commands that wait for the results of these entries.
  std::vector<EntryWaiters> TakeCommitted(const std::vector<raft::Entry>& entries);
  void OnApplied(const AppliedReport& report);
  // This node does not lead (any more).
  void OnFollowing();
  void Expire(SteadyTime now);
  // Answers the queued commands whose callers have gone.
  void DropGone();

  // A snapshot has brought the state to `index`.
  void OnOvertaken(LogIndex index);
  // This node will not see the results of what is in the log.
  void FailLogged(const Status& unknown) { tracker_.FailAll(unknown); }
  // Answers the commands that were never in the log.
  void RefuseQueued(const Status& not_applied);
  // The node ends: answers everything that waits.
  void Stop();

  // The lease clock. None: this node does not lead, or has not yet applied an entry of its own
  // term.
  std::optional<uint64_t> LeaseNow(SteadyTime now) const;
  // What an operator should know of the clock of this leader; empty: nothing.
  std::string ClockDoubt() const;
  // No write of this node waits for its fate.
  bool settled() const { return proposing_.empty() && tracker_.entries() == 0; }
  size_t queued_bytes() const { return batcher_.bytes() + heavy_.bytes(); }
  size_t queued_commands() const { return batcher_.commands() + heavy_.commands(); }
  size_t entries_in_flight() const { return uncommitted_.size() + proposing_.size(); }
  // Whether something waits for the next entry to be applied.
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
  // Refuses a command that needs a higher feature level than the cluster has. Only the leader can
  // tell, and only once it has applied an entry of its own term: a raise may lie in the log before
  // that. A node that lags would refuse, as not applied, what was applied under the same id before.
  bool RefuseByLevel(PendingCommand* command);
  void Refuse(WriteRefusal why, PendingCommand* command, Status status);
  void RefuseGone(PendingCommand* command);
  void StepHeavy();
  bool maintenance_taken() const {
    return heavy_.has_maintenance() || (heavy_entry_ && heavy_entry_->maintenance);
  }
  void ForgetCommitted(SteadyTime now);
  uint64_t ProposeBatch(std::vector<PendingCommandPtr> batch);
  // `wanted`, or what the disk bears if that is less.
  uint64_t StepsMax(uint64_t wanted) const;

  ReplicaContext& context_;
  const PeerDirectory& directory_;
  const uint64_t heavy_steps_min_;
  WorkEstimates estimates_;
  Batcher batcher_;
  HeavyCommands heavy_;
  std::optional<HeavyEntry> heavy_entry_;
  std::map<uint64_t, std::vector<PendingCommandPtr>> proposing_;  // stepped, no answer yet
  ProposalTracker tracker_;
  // The entries of this leader that are not committed yet.
  std::map<LogIndex, InFlightEntry> uncommitted_;
  std::optional<Lease> lease_;
  EntryTime entry_time_;  // from the moment that the lease clock is known
  std::optional<SteadyTime> expiry_proposed_;
  std::optional<uint64_t> free_bytes_;  // none: not yet measured
};

}  // namespace cairn::node
