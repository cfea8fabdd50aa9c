// Replica: one member of one Raft group. It wires the core, the log, the state machine and the
// transport together.
//
// The threads are a core thread that never does I/O, a log thread, an apply thread, a snapshot
// thread and a scrub thread. They meet only in bounded mailboxes. All public methods are
// thread-safe, and do not block except Open and Shutdown. Callbacks run on the replica's threads:
// they must be short and must not block.
#pragma once

#include <atomic>
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
#include "node/replica_counts.h"
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
  // The cluster that this node founds, if it founds one: the one that its certificate names. 0: any.
  uint64_t cluster_id = 0;
  EngineId engine;  // state_machine::EngineFingerprint
  // The highest feature level that this node knows. Only tests of upgrades set another one.
  uint64_t level_max = state_machine::kLevelHighest;
  std::chrono::milliseconds tick{10};
  uint64_t election_ticks = 15;
  uint64_t heartbeat_ticks = 3;
  uint64_t seed = 0;  // of this replica's Rng; 0: from the system
  // Of one entry that the batcher makes (batcher.h); a larger command goes alone.
  size_t batch_bytes_max = 1 << 20;
  size_t batch_commands_max = 1024;
  std::chrono::microseconds batch_delay_max{2000};  // how long a batch gathers
  size_t batch_entries_in_flight_max = 4;           // entries that wait for a majority
  size_t append_entries_max = 4096;                 // of one message to a follower
  // Of the commands that wait for an entry; more is refused.
  size_t proposal_queue_bytes_max = 64 << 20;
  size_t proposal_queue_commands_max = 65'536;
  // A command that waited for so long is refused, unless it waits for a turn among heavy commands.
  std::chrono::milliseconds proposal_queue_wait_max{30'000};
  size_t message_queue_bytes_max = 64 << 20;  // of peers; more is dropped, and sent again
  // Of results that wait until members agree on them; the rows of more are left out of their
  // answers.
  size_t held_results_bytes_max = 32 << 20;
  uint64_t log_bytes_max = 64 << 20;  // compaction keeps the log near this
  uint64_t checkpoint_wal_bytes = 16 << 20;
  uint64_t free_bytes_min = 64 << 20;  // below it proposals are refused
  // The budget of one request and of one entry, then of a request of maintenance, in steps of about
  // 20 ns.
  uint64_t request_steps_max = 50'000'000;
  uint64_t maintenance_steps_max = 5'000'000'000;
  // How long an answered request is remembered at least. The leader's value counts: each entry
  // carries it.
  uint64_t request_ttl_ms = state_machine::kRequestTtlDefaultMs;
  // The time between two comparisons of what the members hold, and between two scrubs. 0: neither
  // is done.
  std::chrono::milliseconds digest_every{600'000};
  std::chrono::milliseconds disk_stall_max{
      1000};  // a sync longer than this makes a leader step down
  // What the replica counts of itself. Copies of the options share it.
  std::shared_ptr<ReplicaCounts> counts = std::make_shared<ReplicaCounts>();
};

// The findings of comparisons and scrubs since the process began.
struct DigestStatus {
  LogIndex right_index;        // the last index at which this node held what the majority held
  uint64_t made = 0;           // digests
  uint64_t differences = 0;    // indexes at which members differed; only the leader knows
  uint64_t scrubs = 0;         // scrubs that found all rows right
  uint64_t scrubs_failed = 0;  // scrubs that found damage
  uint64_t fences = 0;         // times that this node was taken out of service for a finding
  std::string doubt;  // in words: members differ and none is known to be right, or damage that
                      // nobody can make good
};

// Apply has been at one command for more than a second. What follows that command waits.
struct BusyApply {
  state_machine::ApplyingCommand command;
  SteadyTime since{0};
};

struct ReplicaStatus {
  raft::CoreStatus core;
  uint64_t cluster_id = 0;
  transport::LifeStage stage = transport::LifeStage::kEmpty;
  std::string waiting_for;  // in words, while not started
  // In words, why nothing of what this node holds is shown; empty: it is shown.
  std::string not_serving;
  LogIndex durable_state;  // what the SQLite file durably holds
  uint64_t log_bytes = 0;
  uint64_t lease_ms = 0;
  int64_t wall_ms = 0;  // the latest time that an applied entry gave to SQL
  // What this node has applied includes all that was committed this long ago. None: not known.
  std::optional<SteadyTime> age;
  size_t queued_bytes = 0;  // of the commands that wait to be proposed
  size_t queued_commands = 0;
  size_t entries_in_flight = 0;  // of this leader, that are not committed
  bool clock_doubt = false;      // this leader's clock is behind the times in the log
  uint64_t level = 0;            // the feature level of the cluster, by what is applied here
  uint64_t level_max = 0;        // the highest level that this node knows
  bool apply_stopped = false;
  // The node does not hold what it should, and waits for a snapshot. `trouble` says why.
  bool fenced = false;
  DigestStatus digests;
  std::optional<BusyApply> busy_apply;
  Status trouble;  // why apply stopped, or proposals are refused
};

enum class ReadLevel : uint8_t { kLinearizable, kStale };

struct ReadOptions {
  ReadLevel level = ReadLevel::kLinearizable;
  LogIndex index_min{};  // wait until applied
  // For stale reads only. The read is refused (FAILED_PRECONDITION) unless the node proves that it
  // holds everything that was committed this long ago (node/freshness.h).
  std::optional<std::chrono::milliseconds> staleness_max{};
};

using CommandDone = std::function<void(Result<state_machine::CommandResult>)>;
// Set once nobody will take the answer. Null: never known.
using CallerGone = std::shared_ptr<const std::atomic<bool>>;

class Replica {
 public:
  // Opens or creates the data directory (identity) and the core over `log` and `state`, and starts
  // the threads. The caller holds the DataLock of the directory, and took the lock before it opened
  // log and state. Everything passed in must outlive the replica. FAILED_PRECONDITION if the
  // directory belongs to another node id or cluster.
  static Result<std::unique_ptr<Replica>> Open(const ReplicaOptions& options, FileSystem* fs,
                                               log_store::LogStore* log,
                                               state_machine::StateMachine* state, Clock* clock);
  virtual ~Replica() = default;

  // Gives the replica its transport and starts it: first boot, or taking part. Call once.
  virtual void Start(transport::Transport* transport) = 0;
  // What the transport calls.
  virtual transport::Handler* handler() = 0;

  // Replicates a command. `done` is called exactly once, in one of these ways:
  // - with the replicated result, whose status may be an error of SQL;
  // - with an error whose outcome() is kNotApplied or kUnknown;
  // - UNAVAILABLE, not applied, with a LeaderHint, if this node does not lead;
  // - DEADLINE_EXCEEDED, unknown, at `deadline`; not applied if the command was still queued;
  // - CANCELLED, not applied, if the caller went before the command was in the log.
  virtual void Propose(const state_machine::Command& command, SteadyTime deadline, CommandDone done,
                       CallerGone gone) = 0;
  // Callers have gone: their commands that are not in the log yet are given up now, and not only
  // when their turn comes. Cheap, and may be called for any caller.
  virtual void OnCallersGone() = 0;

  // Calls `done` with the read index once a ReadView that is opened from then on satisfies
  // `options`.
  virtual void ReadBarrier(const ReadOptions& options, SteadyTime deadline,
                           std::function<void(Result<LogIndex>)> done) = 0;
  virtual state_machine::StateMachine& state() = 0;

  // Calls `done` with the leader's hint when a leader is known, or with UNAVAILABLE when the
  // deadline has passed.
  virtual void AwaitLeader(SteadyTime deadline, std::function<void(Result<LeaderHint>)> done) = 0;
  // The watcher is called on the replica's core thread whenever leader_hint() or is_leader() has
  // changed. Set it before Start.
  virtual void SetLeaderWatcher(std::function<void()> watcher) = 0;
  virtual std::optional<LeaderHint> leader_hint() const = 0;
  virtual bool is_leader() const = 0;
  virtual ReplicaStatus status() const = 0;
  // When the core thread last turned, by the steady clock. It turns at each tick, so a turn that is
  // seconds old means that the thread is stuck. Before Start: when the replica was opened.
  virtual SteadyTime last_turn() const = 0;

  // Changes the membership, on the leader only (otherwise UNAVAILABLE with a LeaderHint).
  // `progress` may be called many times with a line for the operator. Then `done` is called once.
  struct MembershipChange {
    enum class Kind : uint8_t { kAdd, kRemove, kReplace } kind = Kind::kAdd;
    uint64_t node_id = 0;  // the node that is added, removed or replaced
    std::string address;   // the address of the added or replacing node
    // Set once nobody waits for the change. The change goes on, but gives way to any other change.
    std::shared_ptr<const std::atomic<bool>> gone{};
  };
  virtual void ChangeMembership(MembershipChange change, SteadyTime deadline,
                                std::function<void(const std::string&)> progress,
                                std::function<void(Status)> done) = 0;
  // Hands leadership to that node; 0: to the voter that has caught up best.
  virtual void TransferLeadership(uint64_t node_id, SteadyTime deadline,
                                  std::function<void(Status)> done) = 0;

  // Raises the feature level of the cluster to the highest that this node knows, if all members can
  // follow. On the leader only. Gives the level that the cluster has then. FAILED_PRECONDITION
  // names the members that cannot follow.
  virtual void RaiseLevel(SteadyTime deadline, std::function<void(Result<uint64_t>)> done) = 0;

  // Whether a view may show what must not be answered yet, although a barrier has let the read
  // through: members run different builds of the engine, and have not agreed on the last entries.
  // The reader then asks for another barrier, stale and with the view's index as index_min.
  virtual bool compares_results() const = 0;

  // Hands leadership over if this node leads, finishes what is queued, checkpoints, and stops all
  // threads. Every pending callback has been called when Shutdown returns. Shutdown blocks, for
  // `timeout` at most.
  virtual void Shutdown(SteadyTime timeout) = 0;
};

}  // namespace cairn::node
