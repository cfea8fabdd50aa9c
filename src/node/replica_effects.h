// What the replica's logic asks of the world around it: threads in the server, events in the
// simulator.
#pragma once

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

// Committed entries, with the commands that wait for their results.
struct ApplyJob {
  raft::CommittedBatch batch;
  std::vector<EntryWaiters> waiters;  // in the order of their entries
  // Nobody is answered yet: the results of members are compared first.
  bool hold_results = false;
};

// Outcomes of one entry that may not yet be told.
struct HeldOutcomes {
  LogIndex index;
  std::vector<PendingCommandPtr> commands;
  std::vector<state_machine::CommandResult> results;
};
struct ComparedResults {
  std::vector<ResultsAt> results;  // after each entry
  std::vector<HeldOutcomes> held;
};

// What the apply thread tells after each step.
struct AppliedReport {
  LogIndex index;
  Term term;  // of the entry at `index`
  uint64_t lease_ms = 0;
  std::optional<uint64_t> next_deadline_lease_ms;  // of the prepared transaction due first
  uint64_t level = 0;                              // of what is applied
  uint64_t results_hash = 0;                       // likewise
  std::shared_ptr<ComparedResults> compared;       // of jobs that hold their results; else null
  // Of this node's own proposals, those that cost much, or were expected to.
  std::vector<CommandCost> costs{};
};

// Every call returns at once; answers come back as calls to ReplicaCore, later and in any order
// between different kinds, never from within the call. Requests of one kind are done in the order
// they were made.
class ReplicaEffects {
 public:
  virtual ~ReplicaEffects() = default;

  // Writes and syncs each, then sends its `send_after` messages, then OnPersisted.
  virtual void PersistLog(std::vector<raft::Persist> persists) = 0;
  virtual void FetchLog(const raft::Fetch& fetch) = 0;  // OnFetched
  virtual void CompactLog(CompactionPoint point) = 0;
  virtual void SaveIdentity(const IdentityRecord& record) = 0;  // OnIdentitySaved
  // Notes that this data directory is a copy. No answer: nothing waits for it.
  virtual void RememberCopy(const Status& why) = 0;

  // Not before the next WakeApply if nobody waits for it (`urgent` is false), and with what comes
  // until then. OnApplied or OnApplyStopped.
  virtual void Apply(ApplyJob job, bool urgent) = 0;
  virtual void WakeApply() = 0;
  virtual void Checkpoint() = 0;  // OnCheckpointed
  // Ends applying as a failure would, for a reason that the core has (DATA_LOSS); the node
  // remembers it until a snapshot was installed. OnApplyStopped.
  virtual void Fence(const Status& why) = 0;
  // After `stops` calls of OnApplyStopped (and OnInstalled that were not OK): what was handed to
  // Apply before is void, and what follows is to be applied again.
  virtual void ResumeApply(uint64_t stops) = 0;
  // In order with Apply. OnInstalled.
  virtual void InstallSnapshot(const std::string& path, const raft::SnapshotMeta& meta) = 0;
  virtual void RemoveFile(const std::string& path) = 0;

  virtual void Send(std::vector<raft::Message> messages) = 0;
  // Makes a snapshot at or past `index_min` and streams it. OnSnapshotSent.
  virtual void StreamSnapshot(MemberId from, MemberId to, LogIndex index_min) = 0;
  virtual void SetIdentity(const transport::Identity& identity) = 0;
  virtual void SetPeers(const std::map<MemberId, transport::Addresses>& peers) = 0;
  // `done` is called on the thread of the core, once.
  virtual void Probe(const std::string& address,
                     std::function<void(Result<transport::ProbeReply>)> done) = 0;
  virtual void Join(const std::string& address, const transport::JoinRequest& request,
                    std::function<void(Result<transport::JoinReply>)> done) = 0;

  // For those who watch over the invariants of Raft: the core has started, and has given `output`,
  // which is not routed yet.
  virtual void OnCoreStarted(const raft::RaftCore& /*core*/) {}
  virtual void OnCoreOutput(const raft::RaftCore& /*core*/, const raft::Output& /*output*/) {}
  // The state machine stands at `index` again; the core hands out what follows once more.
  virtual void OnCoreRestored(const raft::RaftCore& /*core*/, LogIndex /*index*/) {}
};

}  // namespace cairn::node
