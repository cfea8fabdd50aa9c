// StateMachine: what the replicated log is applied to. The interface between the node and SQLite.
//
// Threads: Apply, Checkpoint, BoundWal and InstallSnapshot belong to the apply thread. Query,
// OpenSnapshot and the accessors are thread-safe.
//
// A Status that is not OK from Apply, Checkpoint or InstallSnapshot is this node's own trouble
// (disk, memory, corruption), never a result of SQL: the node stops applying and says so. After
// such an error Apply and Checkpoint fail the same way until the database is opened again or
// replaced. A failed write may have left marks in memory that the next transaction would write, and
// a later sync must not seem to heal a failed one. UNIMPLEMENTED from Apply is no trouble: the next
// entry is of a later version of Cairn (or of 0.1), all entries before it are applied, and
// Checkpoint still works.
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

// What the file says about itself. It is written in the transaction of the entries that it covers.
struct AppliedState {
  LogIndex index;
  Term term;
  raft::Configuration config;
  LogIndex config_index;
  uint64_t lease_ms = 0;
  int64_t wall_ms = 0;           // the latest time that an entry up to `index` gave to SQL
  uint64_t level = kLevelFirst;  // feature_level.h
  uint64_t results_hash = 0;     // of all results up to `index`: sqlite/results_hash.h
};

// The results of one entry: one for each command, in order. Entries of kNoop and kConfig have none.
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
  // A Status that is not OK ends the query, which fails with it.
  virtual Status OnRow(Row row) = 0;
  // True pauses a QueryRun after the last row.
  virtual bool Full() { return false; }
};

struct QueryLimits {
  SteadyTime age_max = std::chrono::seconds(60);  // then ABORTED: an old reader pins the WAL
  SteadyTime duration_max{0};       // of one Query or Continue, then DEADLINE_EXCEEDED; 0: none
  std::function<bool()> cancelled;  // polled; true ends with CANCELLED
  // Polled with the time; the query ends with what is not OK.
  std::function<Status(SteadyTime now)> check;
  size_t row_bytes_max = 16 << 20;  // of the values of a row, then RESOURCE_EXHAUSTED
};

// One query that runs in pieces. Between two pieces it holds no thread, but it keeps its view: no
// other query of the view may begin before this one has ended or is destroyed. One thread at a
// time, not necessarily the same one for each piece.
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
  std::string statement;  // the beginning of its first statement
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
  LogIndex finished_index;  // the entry that committed it, rolled it back or let it expire
  uint64_t deadline_lease_ms = 0;
};

// Several reads at one applied index: a state of the database, held open. One thread at a time. The
// owner destroys it soon, because it counts against the pool.
class ReadView {
 public:
  virtual ~ReadView() = default;
  virtual LogIndex applied() const = 0;
  // Runs one SELECT, or a PRAGMA or EXPLAIN that only reads. A statement that would write is
  // INVALID_ARGUMENT with the advice to use Execute.
  virtual Status Query(const Statement& statement, const QueryLimits& limits, RowSink* sink) = 0;
  // Runs the query in pieces. The statement and the view outlive the run.
  virtual std::unique_ptr<QueryRun> BeginQuery(const Statement& statement) = 0;
  // The write sequence of a table, or of the whole database for "". 0 for an unknown table.
  virtual Result<int64_t> Version(const std::string& table) = 0;
  virtual Result<TxInfo> Transaction(const std::string& tx_id) = 0;
};

// A consistent copy of the database, to be read for a peer. One thread at a time, except that
// Complete may run beside the other calls.
class SnapshotReader {
 public:
  virtual ~SnapshotReader() = default;
  virtual const raft::SnapshotMeta& meta() const = 0;
  virtual uint64_t size_bytes() const = 0;
  // Identifies this very copy: another copy, even of the same state, may have other bytes.
  virtual uint64_t copy_id() const = 0;
  // Makes the rest of the copy. Whoever opened the copy calls this; else the other readers wait for
  // ever. This takes long: `proceed` is asked now and then, and false ends it with CANCELLED.
  virtual Status Complete(const std::function<bool()>& /*proceed*/) { return OkStatus(); }
  // Both wait until what they need is copied. If the copy fails they give its error.
  virtual Result<std::string> Read(uint64_t offset, size_t size) = 0;
  // CRC32C of the whole copy, which the receiver verifies before the install.
  virtual Result<uint32_t> Crc() = 0;
};

// The digest of all that the database holds at one index. If it is not equal on all members, a
// member is wrong.
struct StateDigest {
  uint64_t a = 0;
  uint64_t b = 0;
  bool operator==(const StateDigest&) const = default;
};

// One state of the database, held open for a look through its rows. One thread at a time. The owner
// destroys it when it is done, because it keeps the WAL from beginning anew. It may outlive the
// state machine.
class StateScan {
 public:
  virtual ~StateScan() = default;
  virtual LogIndex index() const = 0;
  // Whether all members look at this very state. Else this node has chosen it alone.
  virtual bool is_digest_entry() const = 0;
  // Makes the digest from the sums that were kept while rows changed, and reads the small rest.
  virtual Result<StateDigest> Digest() = 0;
  // Reads rows for about this time and compares them with the sums. True: all rows were read.
  //   DATA_LOSS           the file does not hold what was written to it
  //   CANCELLED, ABORTED  the scan is over: the database was closed, or it has lasted too long
  virtual Result<bool> Scrub(SteadyTime budget) = 0;
  // True if the scan was given up before, so that it should not pause now.
  virtual bool hurry() const { return false; }
};

class StateMachine {
 public:
  virtual ~StateMachine() = default;

  virtual AppliedState applied_state() const = 0;
  virtual LogIndex applied_index() const = 0;
  // After a power cut the file surely holds the entries up to here, so the log may be compacted up
  // to here.
  virtual LogIndex durable_index() const = 0;

  // Applies committed entries in order, in one or more SQLite transactions. `config` is the
  // configuration in force after the last entry. On return new ReadViews see the entries. Calls
  // `on_results` for each entry, in order, after its transaction is committed.
  virtual Status Apply(std::span<const raft::Entry> entries, const raft::Configuration& config,
                       LogIndex config_index,
                       const std::function<void(EntryResults)>& on_results) = 0;

  // The command that Apply is working on, if any. Thread-safe.
  virtual std::optional<ApplyingCommand> Applying() const { return std::nullopt; }

  // Refuses a command that no state could make valid (syntax errors, a second statement, refused
  // kinds of statement, limits): INVALID_ARGUMENT or PERMISSION_DENIED. Does not touch the writer.
  // Thread-safe.
  virtual Status CheckProposal(const Command& command) = 0;

  // The deadline (lease clock, ms) of the prepared transaction that expires first. Thread-safe.
  virtual std::optional<uint64_t> NextDeadlineLeaseMs() const = 0;

  // Waits up to `timeout` for a free reader, then gives RESOURCE_EXHAUSTED. Thread-safe.
  virtual Result<std::unique_ptr<ReadView>> OpenReadView(SteadyTime timeout) = 0;

  // Bytes in the SQLite WAL. The node calls Checkpoint when there are many, or when the last one is
  // long ago.
  virtual uint64_t WalBytes() const = 0;
  // Moves the WAL into the file and syncs the file. durable_index() advances.
  virtual Status Checkpoint() = 0;

  // Keeps the WAL within its bounds: makes new views wait for a moment, or ends views and scans, so
  // that a checkpoint can move all of the WAL. Called after Apply, and again after the time that it
  // gives. Fails as Checkpoint does.
  virtual Result<SteadyTime> BoundWal() { return SteadyTime::max(); }

  // After a failure: ends all readers, closes the database, opens it again and moves all of the WAL
  // into the file. applied_state() is then what is durable in the file. That may be less than was
  // applied before, but never less than durable_index() was, unless the file is damaged. After an
  // error nothing can be read or applied until a later call, or InstallSnapshot, succeeds.
  virtual Status Reopen() = 0;

  // The scan for the last digest entry. Null if there was no such entry since the last call. The
  // apply thread's.
  virtual std::unique_ptr<StateScan> TakeScan() { return nullptr; }
  // A scan of the present state. The apply thread's.
  virtual Result<std::unique_ptr<StateScan>> BeginScan() {
    return Unimplemented("this state machine can not be scanned");
  }

  // A consistent copy of the present state, in the snapshot directory. Gives the last copy again if
  // it is at or past `index_min`. RESOURCE_EXHAUSTED without the space. Thread-safe.
  virtual Result<std::shared_ptr<SnapshotReader>> OpenSnapshot(LogIndex index_min) = 0;
  // Frees the space of the last copy as soon as no reader uses it. Thread-safe.
  virtual void DropSnapshot() {}

  // Whether the file at `path` is the whole database that `meta` describes, and all its rows are
  // those that were written: FAILED_PRECONDITION or DATA_LOSS if not. Reads the whole file, which
  // takes long. `proceed` is called on this thread now and then, and false ends the check with
  // CANCELLED. If `proceed` is empty, no other thread is used. Thread-safe.
  virtual Status CheckSnapshot(const std::string& path, const raft::SnapshotMeta& meta,
                               const std::function<bool()>& proceed) = 0;

  // Replaces the whole database by the file at `path` (on the same file system), which
  // CheckSnapshot has found right: ends all readers, swaps the files (sqlite/snapshot_install.h)
  // and opens the database. Does not look through the file again. FAILED_PRECONDITION or DATA_LOSS
  // if the file's meta is not `meta`; then nothing has changed. After any other failure the
  // database is the old or the new one, and another call goes on from there.
  virtual Status InstallSnapshot(const std::string& path, const raft::SnapshotMeta& meta) = 0;
};

}  // namespace cairn::state_machine
