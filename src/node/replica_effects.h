// What the replica's logic asks of the world around it. In the server that is threads, in the
// simulator events.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/ids.h"
#include "node/identity_file.h"
#include "node/log_extent.h"
#include "node/proposal_tracker.h"
#include "node/result_agreement.h"
#include "raft/core.h"
#include "transport/transport.h"

namespace cairn::node {

// Committed entries, and the commands that wait for their results.
struct ApplyJob {
  raft::CommittedBatch batch;
  std::vector<EntryWaiters> waiters;  // in the order of their entries
  // Read when results are there (result_comparison.h). True: no command is answered yet, because the
  // members' results are compared first. Null: nothing is ever compared.
  std::shared_ptr<const std::atomic<bool>> hold_results{};
};

// The outcomes of one entry that must not be told yet.
struct HeldOutcomes {
  LogIndex index;
  std::vector<PendingCommandPtr> commands;
  std::vector<state_machine::CommandResult> results;
  std::shared_ptr<void> room{};  // gives back the memory that was taken for the results
};
struct ComparedResults {
  std::vector<ResultsAt> results;  // after each entry
  std::vector<HeldOutcomes> held;
};

// What the apply thread reports after each step.
struct AppliedReport {
  LogIndex index;
  Term term;  // of the entry at `index`
  uint64_t lease_ms = 0;
  std::optional<uint64_t> next_deadline_lease_ms;  // of the prepared transaction that expires first
  uint64_t level = 0;                              // of what is applied
  uint64_t results_hash = 0;                       // likewise
  LogIndex restored_at;                            // as AppliedState says
  state_machine::TimeSeriesUpkeep time_series = state_machine::TimeSeriesUpkeep::kNone;
  int64_t wall_ms = 0;                        // the latest time that an entry gave to SQL
  std::shared_ptr<ComparedResults> compared;  // of results that are held; else null
  // The costs of this node's own proposals that cost much, or were expected to.
  std::vector<CommandCost> costs{};
};

// Every call returns at once. Answers come back later as calls to ReplicaCore, never from within
// the call. Requests of one kind are done in the order in which they were made; answers of
// different kinds come in any order. The comment at a call names its answer.
class ReplicaEffects {
 public:
  virtual ~ReplicaEffects() = default;

  // Writes and syncs each persist, then sends its `send_after` messages, then OnPersisted.
  virtual void PersistLog(std::vector<raft::Persist> persists) = 0;
  virtual void FetchLog(const raft::Fetch& fetch) = 0;  // OnFetched
  virtual void CompactLog(CompactionPoint point) = 0;
  virtual void SaveIdentity(const IdentityRecord& record) = 0;  // OnIdentitySaved
  // Writes the note that this data directory is a copy. There is no answer, because nothing waits
  // for it.
  virtual void RememberCopy(const Status& why) = 0;

  // If nobody waits for the job (`urgent` is false), it is done with the next WakeApply, together
  // with the jobs until then. OnApplied or OnApplyStopped.
  virtual void Apply(ApplyJob job, bool urgent) = 0;
  virtual void WakeApply() = 0;
  virtual void Checkpoint() = 0;  // OnCheckpointed
  // Stops applying as a failure would, for a reason that the core has (DATA_LOSS). The node
  // remembers the reason until a snapshot is installed. OnApplyStopped.
  virtual void Fence(const Status& why) = 0;
  // The core has seen `stops` calls of OnApplyStopped (and of OnInstalled that were not OK). What
  // was given to Apply before is void, and what follows is to be applied again.
  virtual void ResumeApply(uint64_t stops) = 0;
  // Done in order with Apply. OnInstalled.
  virtual void InstallSnapshot(const std::string& path, const raft::SnapshotMeta& meta) = 0;
  virtual void RemoveFile(const std::string& path) = 0;

  virtual void Send(std::vector<raft::Message> messages) = 0;
  // Makes a snapshot at or past `index_min` and streams it. OnSnapshotSent.
  virtual void StreamSnapshot(MemberId from, MemberId to, LogIndex index_min) = 0;
  virtual void SetIdentity(const transport::Identity& identity) = 0;
  virtual void SetPeers(const transport::Peers& peers) = 0;
  // `done` is called once, on the core's thread.
  virtual void Probe(const std::string& address,
                     std::function<void(Result<transport::ProbeReply>)> done) = 0;
  virtual void Join(const std::string& address, const transport::JoinRequest& request,
                    std::function<void(Result<transport::JoinReply>)> done) = 0;

  // For tests that watch over the invariants of Raft: the core has started, and has given `output`,
  // which is not routed yet.
  virtual void OnCoreStarted(const raft::RaftCore& /*core*/) {}
  virtual void OnCoreOutput(const raft::RaftCore& /*core*/, const raft::Output& /*output*/) {}
  // The state machine stands at `index` again, and the core hands out what follows once more.
  virtual void OnCoreRestored(const raft::RaftCore& /*core*/, LogIndex /*index*/) {}
};

}  // namespace cairn::node
