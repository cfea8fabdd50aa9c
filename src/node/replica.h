// Replica: one member of one Raft group; wires core, log, state machine and transport.
//
// Threads: a core thread that never does I/O, a log thread, an apply thread and a snapshot thread,
// which meet only in bounded mailboxes. All public methods are thread-safe and do not block, but
// for Open and Shutdown. Callbacks run on the replica's threads: they must be short and must not
// block.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/file_system.h"
#include "base/result.h"
#include "base/status.h"
#include "log_store/log_store.h"
#include "raft/core.h"
#include "state_machine/state_machine.h"
#include "transport/transport.h"

namespace cairn::node {

struct ReplicaOptions {
  GroupId group{1};
  uint64_t node_id = 1;
  std::string address;                           // how peers reach this node
  std::map<uint64_t, std::string> listed_peers;  // --peers, this node included; empty: alone
  std::string data_directory;                    // FILE.cairn
  bool joins_only = false;                       // see FirstBootOptions
  EngineId engine;                               // state_machine::EngineFingerprint()
  // Feature levels that this node knows; another one in tests of upgrades alone.
  uint64_t level_max = state_machine::kLevelHighest;
  std::chrono::milliseconds tick{10};
  uint64_t election_ticks = 15;
  uint64_t heartbeat_ticks = 3;
  uint64_t seed = 0;                 // of this replica's Rng; 0: from the system
  size_t batch_bytes_max = 1 << 20;  // of one entry made by the batcher
  size_t batch_commands_max = 1024;
  size_t append_entries_max = 4096;  // of one message to a follower
  size_t proposal_queue_bytes_max = 64 << 20;
  size_t message_queue_bytes_max = 64 << 20;  // of peers; more is dropped, and sent again
  uint64_t log_bytes_max = 64 << 20;          // compaction keeps the log near this
  uint64_t checkpoint_wal_bytes = 16 << 20;
  uint64_t free_bytes_min = 64 << 20;  // below it proposals are refused
  // Work of one request, and of one entry; and of a request of maintenance. In steps of about 20 ns.
  uint64_t request_steps_max = 50'000'000;
  uint64_t maintenance_steps_max = 5'000'000'000;
  // For how long an answered request is remembered at the least (of the leader, in each entry).
  uint64_t request_ttl_ms = state_machine::kRequestTtlDefaultMs;
  // Between two comparisons of what the members hold, and two scrubs; 0: neither is done.
  std::chrono::milliseconds digest_every{600'000};
  std::chrono::milliseconds disk_stall_max{
      1000};  // a sync longer than this makes a leader step down
};

// What became of comparing and scrubbing, since the process began.
struct DigestStatus {
  LogIndex right_index;        // where this node last was found to hold what the majority holds
  uint64_t made = 0;           // digests
  uint64_t differences = 0;    // indexes at which members differed; told to the leader alone
  uint64_t scrubs = 0;         // in which all rows were right
  uint64_t scrubs_failed = 0;  // that found damage
  uint64_t fences = 0;         // times this node was taken out of service for either
  std::string doubt;  // in words: members differ and none is known to be right, or damage that
                      // nobody can make good
};

// Apply has been at one command for more than a second; what follows it waits.
struct BusyApply {
  state_machine::ApplyingCommand command;
  SteadyTime since{0};
};

struct ReplicaStatus {
  raft::CoreStatus core;
  uint64_t cluster_id = 0;
  transport::LifeStage stage = transport::LifeStage::kEmpty;
  std::string waiting_for;  // in words, while not started
  LogIndex durable_state;   // durably in the SQLite file
  uint64_t log_bytes = 0;
  uint64_t lease_ms = 0;
  uint64_t level = 0;      // the feature level of the cluster, as of what is applied here
  uint64_t level_max = 0;  // that this node knows
  bool apply_stopped = false;
  // It does not hold what it should, and waits for a snapshot; `trouble` says why.
  bool fenced = false;
  DigestStatus digests;
  std::optional<BusyApply> busy_apply;
  Status trouble;  // why apply stopped, or proposals are refused
};

enum class ReadLevel : uint8_t { kLinearizable, kStale };

struct ReadOptions {
  ReadLevel level = ReadLevel::kLinearizable;
  LogIndex index_min{};  // wait until applied
  // Stale only: refuse (FAILED_PRECONDITION) unless what the node holds was all there was at some
  // time so long ago, or later (node/freshness.h).
  std::optional<std::chrono::milliseconds> staleness_max{};
};

using CommandDone = std::function<void(Result<state_machine::CommandResult>)>;

class Replica {
 public:
  // Opens or creates the data directory (identity), the core over `log` and `state`, and starts the
  // threads. The caller holds the DataLock of the directory, and took it before it opened log and
  // state. Everything passed in must outlive the replica. FAILED_PRECONDITION if the directory is
  // of another node id or cluster.
  static Result<std::unique_ptr<Replica>> Open(const ReplicaOptions& options, FileSystem* fs,
                                               log_store::LogStore* log,
                                               state_machine::StateMachine* state, Clock* clock);
  virtual ~Replica() = default;

  // Hands the replica its transport and starts it (first boot, or taking part). Call once.
  virtual void Start(transport::Transport* transport) = 0;
  // What the transport calls.
  virtual transport::Handler* handler() = 0;

  // Replicates a command. `done` is called exactly once: with the replicated result (whose status
  // may be an error of SQL), or with an error whose outcome() is kNotApplied or kUnknown. Not the
  // leader: UNAVAILABLE, not applied, with a LeaderHint. No answer by `deadline`:
  // DEADLINE_EXCEEDED, unknown (not applied while it was still queued).
  virtual void Propose(state_machine::Command command, SteadyTime deadline, CommandDone done) = 0;

  // When `done` is called OK, a ReadView opened from then on satisfies `options`; gives the read
  // index.
  virtual void ReadBarrier(const ReadOptions& options, SteadyTime deadline,
                           std::function<void(Result<LogIndex>)> done) = 0;
  virtual state_machine::StateMachine& state() = 0;

  // Calls `done` when a leader is known (OK) or the deadline has passed (UNAVAILABLE). Gives its
  // hint.
  virtual void AwaitLeader(SteadyTime deadline, std::function<void(Result<LeaderHint>)> done) = 0;
  // Called whenever leader_hint() or is_leader() has changed and says so. Set before Start; called
  // on the replica's core thread.
  virtual void SetLeaderWatcher(std::function<void()> watcher) = 0;
  virtual std::optional<LeaderHint> leader_hint() const = 0;
  virtual bool is_leader() const = 0;
  virtual ReplicaStatus status() const = 0;

  // Membership; leader only (else UNAVAILABLE with a LeaderHint). `progress` may be called many
  // times with a line for the operator, then `done` once.
  struct MembershipChange {
    enum class Kind : uint8_t { kAdd, kRemove, kReplace } kind = Kind::kAdd;
    uint64_t node_id = 0;  // added, removed, or replaced
    std::string address;   // of the added or replacing node
  };
  virtual void ChangeMembership(MembershipChange change, SteadyTime deadline,
                                std::function<void(const std::string&)> progress,
                                std::function<void(Status)> done) = 0;
  // `node_id` 0: the best caught-up voter.
  virtual void TransferLeadership(uint64_t node_id, SteadyTime deadline,
                                  std::function<void(Status)> done) = 0;

  // Raises the feature level of the cluster to the highest that this node knows, if all members can
  // follow; leader only. FAILED_PRECONDITION names who can not. Gives the level that is reached.
  virtual void RaiseLevel(SteadyTime deadline, std::function<void(Result<uint64_t>)> done) = 0;

  // What a view shows may not yet be answered, though a barrier has let the read through: members
  // run different builds of the engine, and have not agreed on the last entries. The reader then
  // asks for another barrier, stale and with the view's index as index_min.
  virtual bool compares_results() const = 0;

  // Hands leadership over if it has it, finishes what is queued, checkpoints, and stops all
  // threads. Every pending callback has been called when it returns. Blocks, bounded by `timeout`.
  virtual void Shutdown(SteadyTime timeout) = 0;
};

}  // namespace cairn::node
