// StateMachine: what the replicated log is for. The interface between the node and SQLite.
//
// Threads: Apply, Checkpoint, BoundWal and InstallSnapshot belong to the apply thread. Query,
// BeginSnapshot and the accessors are thread-safe. A Status that is not OK from Apply, Checkpoint
// or InstallSnapshot is this node's own trouble (disk, memory, corruption), never a result of SQL:
// the node stops applying and says so. After such an error of Apply or Checkpoint both fail the
// same way until the database is opened anew (or replaced): a failed write may have left marks in
// memory that the next transaction would write down, and a failed sync must not be followed by one
// that seems to heal it. UNIMPLEMENTED of Apply is no trouble: the next entry is of a later version
// of Cairn (or of 0.1), all entries before it are applied, and Checkpoint goes on.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/status.h"
#include "raft/types.h"
#include "state_machine/command.h"
#include "state_machine/feature_level.h"

namespace cairn::state_machine {

// What the file says of itself; all of it is written in the transaction of the entries it covers.
struct AppliedState {
  LogIndex index;
  Term term;
  raft::Configuration config;
  LogIndex config_index;
  uint64_t lease_ms = 0;
  uint64_t level = kLevelFirst;  // feature_level.h
  uint64_t results_hash = 0;     // of all results up to `index`: sqlite/results_hash.h
};

// Results of one entry: one per command, in order (empty for kNoop and kConfig entries).
struct EntryResults {
  LogIndex index;
  Term term;
  std::vector<CommandResult> results;
  uint64_t results_hash = 0;  // as in AppliedState, up to this entry
};

// Receives the rows of a query, in bounded chunks, on the thread that called Query.
class RowSink {
 public:
  virtual ~RowSink() = default;
  virtual Status OnColumns(const std::vector<Column>& columns) = 0;
  // Not OK ends the query with that status.
  virtual Status OnRow(Row row) = 0;
  // True pauses a QueryRun after the row that was just given.
  virtual bool Full() { return false; }
};

struct QueryLimits {
  SteadyTime age_max = std::chrono::seconds(60);  // then ABORTED: an old reader pins the WAL
  SteadyTime duration_max{0};       // of one Query or Continue, then DEADLINE_EXCEEDED; 0: none
  std::function<bool()> cancelled;  // polled; true ends with CANCELLED
  std::function<Status()> check;    // polled; the query ends with what is not OK
  size_t row_bytes_max = 16 << 20;  // of the values of a row, then RESOURCE_EXHAUSTED
};

// One query that runs in pieces. Between two pieces it needs no thread, but it keeps its view: no
// other query of the view may begin before this one has ended or is destroyed. One thread at a
// time, which need not be the same for each piece.
class QueryRun {
 public:
  virtual ~QueryRun() = default;
  // Gives rows to `sink` until the end of the result (true), or until the sink is full after a row
  // (false). An error ends the query.
  virtual Result<bool> Continue(const QueryLimits& limits, RowSink* sink) = 0;
};

// A command that is being applied at this moment.
struct ApplyingCommand {
  LogIndex index;     // of its entry
  size_t number = 0;  // in the entry, from 0
  RequestId id;
  std::string statement;  // the beginning of its first one
};

// State of a two-phase transaction.
enum class TxState : uint8_t {
  kUnknown = 0,  // never seen, or forgotten long ago
  kPrepared = 1,
  kCommitted = 2,
  kRolledBack = 3,
  kExpired = 4,
};
struct TxInfo {
  TxState state = TxState::kUnknown;
  uint64_t statements = 0;
  LogIndex finished_index;  // where it was committed, rolled back or expired
  uint64_t deadline_lease_ms = 0;
};

// Several reads at one applied index: a database snapshot held open. One thread at a time. Give it
// back (destroy it) soon; it counts against the pool.
class ReadView {
 public:
  virtual ~ReadView() = default;
  virtual LogIndex applied() const = 0;
  // One SELECT (or a PRAGMA or EXPLAIN that only reads). Anything that would write is
  // INVALID_ARGUMENT that says to use Execute.
  virtual Status Query(const Statement& statement, const QueryLimits& limits, RowSink* sink) = 0;
  // The same in pieces. The statement and the view must outlive the run.
  virtual std::unique_ptr<QueryRun> BeginQuery(const Statement& statement) = 0;
  // Sequence of a table, of the whole database for ""; 0 for an unknown table.
  virtual Result<int64_t> Version(const std::string& table) = 0;
  virtual Result<TxInfo> Transaction(const std::string& tx_id) = 0;
};

// A consistent copy being read out, for a peer. Any one thread at a time, but that Complete may run
// beside the others.
class SnapshotReader {
 public:
  virtual ~SnapshotReader() = default;
  virtual const raft::SnapshotMeta& meta() const = 0;
  virtual uint64_t size_bytes() const = 0;
  // Of this very copy: another one, of the same state even, may have other bytes.
  virtual uint64_t copy_id() const = 0;
  // Makes the copy, so far as it is not made. Whoever opened it calls this, or the others wait for
  // ever. Long: `proceed` is asked now and then, and ends it with false (CANCELLED).
  virtual Status Complete(const std::function<bool()>& /*proceed*/) { return OkStatus(); }
  // These wait until what is asked for is made; if that fails they give its error.
  virtual Result<std::string> Read(uint64_t offset, size_t size) = 0;
  // CRC32C of the whole, to be verified before install.
  virtual Result<uint32_t> Crc() = 0;
};

// Of all that the database holds at one index: equal on all members, or one of them is wrong.
struct StateDigest {
  uint64_t a = 0;
  uint64_t b = 0;
  bool operator==(const StateDigest&) const = default;
};

// One state of the database, held to be looked through. Any one thread at a time. Give it back
// (destroy it) when it is done: it keeps the WAL from beginning anew. It may outlive the state
// machine.
class StateScan {
 public:
  virtual ~StateScan() = default;
  virtual LogIndex index() const = 0;
  // All members look at this very state. Else it is this node's own choice.
  virtual bool is_digest_entry() const = 0;
  // Made of the sums that were kept while rows changed, and of what is read of the small rest.
  virtual Result<StateDigest> Digest() = 0;
  // Reads rows for about so long and compares them with the sums. True: all were read.
  //   DATA_LOSS           the file does not hold what was written to it
  //   CANCELLED, ABORTED  the scan is over: the database was closed, or it has lasted too long
  virtual Result<bool> Scrub(SteadyTime budget) = 0;
  // It should not pause, for it was given up before.
  virtual bool hurry() const { return false; }
};

class StateMachine {
 public:
  virtual ~StateMachine() = default;

  virtual AppliedState applied_state() const = 0;
  virtual LogIndex applied_index() const = 0;
  // The file surely holds this much after a power cut: the log may be compacted up to here.
  virtual LogIndex durable_index() const = 0;

  // Applies committed entries in order, in one or more SQLite transactions; `config` is the
  // configuration in force after the last of them. On return they are visible to new ReadViews.
  // Calls `on_results` for each entry, in order, after its transaction committed.
  virtual Status Apply(std::span<const raft::Entry> entries, const raft::Configuration& config,
                       LogIndex config_index,
                       const std::function<void(EntryResults)>& on_results) = 0;

  // What Apply is at, if it is at a command. Thread-safe.
  virtual std::optional<ApplyingCommand> Applying() const { return std::nullopt; }

  // Checks what no state could make valid (syntax that cannot parse, a second statement, refused
  // kinds, limits): INVALID_ARGUMENT or PERMISSION_DENIED. Never touches the writer. Thread-safe.
  virtual Status CheckProposal(const Command& command) = 0;

  // Deadline (lease clock, ms) of the prepared transaction that expires first. Thread-safe.
  virtual std::optional<uint64_t> NextDeadlineLeaseMs() const = 0;

  // Waits up to `timeout` for a free reader (RESOURCE_EXHAUSTED after that). Thread-safe.
  virtual Result<std::unique_ptr<ReadView>> OpenReadView(SteadyTime timeout) = 0;

  // Bytes in the SQLite WAL; the node calls Checkpoint when they, or the time since, grow.
  virtual uint64_t WalBytes() const = 0;
  // Moves the WAL into the file and syncs it; durable_index() advances.
  virtual Status Checkpoint() = 0;

  // Keeps the WAL within its bounds: new views wait for a moment, or views and scans are ended, so
  // that a checkpoint can move all of it. To be called after Apply, and again after the time that
  // it gives. Trouble is that of Checkpoint.
  virtual Result<SteadyTime> BoundWal() { return SteadyTime::max(); }

  // After a failure: closes the database, ends all readers, opens it anew and moves all that is in
  // the WAL into the file, so that applied_state() is what is durable in it. That may be less than
  // was applied before, but never less than durable_index() said, unless the file was damaged. Not
  // OK: nothing can be read or applied until a later call, or InstallSnapshot, succeeds.
  virtual Status Reopen() = 0;

  // The scan that the last digest entry called for; null if there was none since the last call. The
  // apply thread's.
  virtual std::unique_ptr<StateScan> TakeScan() { return nullptr; }
  // A scan of the state as it is now. The apply thread's.
  virtual Result<std::unique_ptr<StateScan>> BeginScan() {
    return Unimplemented("this state machine can not be scanned");
  }

  // A consistent copy as of now in the snapshot directory; reuses the last one if it is at or past
  // `index_min`. RESOURCE_EXHAUSTED without the space for it. Thread-safe.
  virtual Result<std::shared_ptr<SnapshotReader>> OpenSnapshot(LogIndex index_min) = 0;
  // Gives the space of the last copy back, as soon as no reader uses it. Thread-safe.
  virtual void DropSnapshot() {}

  // Whether the file at `path` is the database that `meta` says, whole, and all its rows are those
  // that were written: FAILED_PRECONDITION or DATA_LOSS if not. Reads all of it. Thread-safe; long:
  // `proceed` is called on this thread now and then, and ends it with false (CANCELLED); if it is
  // empty, no other thread is used.
  virtual Status CheckSnapshot(const std::string& path, const raft::SnapshotMeta& meta,
                               const std::function<bool()>& proceed) = 0;

  // Takes the place of the whole database by the file at `path` (on the same file system), which
  // CheckSnapshot has found right: ends all readers, swaps the files as the design says, reopens.
  // The file is not looked through again. FAILED_PRECONDITION or DATA_LOSS if not even its meta is
  // `meta`; then nothing is changed. After any other failure the database is the old or the new
  // one, and to call it again goes on from there.
  virtual Status InstallSnapshot(const std::string& path, const raft::SnapshotMeta& meta) = 0;
};

}  // namespace cairn::state_machine
