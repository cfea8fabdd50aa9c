// StateMachine: applies the replicated log to SQLite. The interface between the node and SQLite.
//
// Threads: Apply, Checkpoint, BoundWal, Reopen, TakeScan, BeginScan and InstallSnapshot belong to
// the apply thread. All other functions are thread-safe.
//
// A Status that is not OK from Apply, Checkpoint or InstallSnapshot is this node's own trouble
// (disk, memory, corruption), never a result of SQL. The node stops applying and reports the
// trouble. Apply and Checkpoint then fail the same way until the database is reopened or replaced.
// Otherwise a later transaction could write what a failed write left in memory, and a later sync
// could hide that an earlier one failed. UNIMPLEMENTED from Apply is not trouble: the next entry is
// of a later version of Cairn (or of 0.1), all entries before it are applied, and Checkpoint still
// works.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/status.h"
#include "base/summed_bytes.h"
#include "raft/types.h"
#include "state_machine/access.h"
#include "state_machine/audit.h"
#include "state_machine/command.h"
#include "state_machine/feature_level.h"
#include "state_machine/retained_page.h"

namespace cairn::state_machine {

// The state of the file, as the file records it. It is written in the transaction of the entries
// that it covers.
struct AppliedState {
  LogIndex index;
  Term term;
  raft::Configuration config;
  LogIndex config_index;
  uint64_t lease_ms = 0;
  int64_t wall_ms = 0;           // the latest time that an entry up to `index` gave to SQL
  uint64_t level = kLevelFirst;  // feature_level.h
  uint64_t results_hash = 0;     // of all results up to `index`: sqlite/results_hash.h
  // The entry at which a backup took the place of the database, the last time (sqlite/restore_into.h).
  LogIndex restored_at;
};

// The results of one entry: one for each command, in order. kNoop and kConfig entries have none.
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
  // True pauses a QueryRun after the current row.
  virtual bool Full() { return false; }
};

struct QueryLimits {
  SteadyTime age_max = std::chrono::seconds(60);  // past it ABORTED: an old reader pins the WAL
  SteadyTime duration_max{0};       // of one Query or Continue; past it DEADLINE_EXCEEDED; 0: none
  std::function<bool()> cancelled;  // polled; true ends the query with CANCELLED
  // Polled with the current time. A Status that is not OK ends the query.
  std::function<Status(SteadyTime now)> check;
  size_t row_bytes_max = 16 << 20;  // of the values of a row; past it RESOURCE_EXHAUSTED
};

// One query that runs in pieces. Between two pieces the query holds no thread, but it occupies its
// view: no other query of the view may begin before this one has ended or is destroyed. One thread
// at a time uses the query; each piece may run on another thread.
class QueryRun {
 public:
  virtual ~QueryRun() = default;
  // Gives rows to `sink` until the end of the result (true), or until the sink is full after a row
  // (false). An error ends the query.
  virtual Result<bool> Continue(const QueryLimits& limits, RowSink* sink) = 0;
};

// Whether MaintainTimeSeries has something to do.
enum class TimeSeriesUpkeep : uint8_t {
  kNone,   // there are no time series
  kRests,  // the commands are worth a look now and then
  kBusy,   // the last command has not done all
};

// A command that is being applied now.
struct ApplyingCommand {
  LogIndex index;     // of the command's entry
  size_t number = 0;  // place in the entry, from 0
  RequestId id;
  std::string principal;  // who asked
  std::string statement;  // the beginning of the first statement
};

// Sizes of what a state machine holds, for whoever watches the node.
struct StateFigures {
  uint64_t sessions = 0;
  uint64_t session_bytes = 0;  // of sessions and the requests that they remember
  uint64_t bare_ids = 0;       // requests without a session that are remembered
  uint64_t prepared = 0;       // two-phase transactions
  uint64_t prepared_bytes = 0;
  uint64_t time_series_troubles = 0;  // time series whose upkeep fails
  uint64_t vector_graphs = 0;
  uint64_t vector_graph_bytes = 0;
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
  LogIndex finished_index;  // the entry that ended the transaction
  uint64_t deadline_lease_ms = 0;
  std::string owner;  // the principal of the first Prepare; empty: not known
};

// What the rows of a query depend on.
struct QuerySources {
  int64_t schema_version = 0;       // of the state that the query was compiled in
  std::vector<std::string> tables;  // in lower case; "": the whole database
};

// Several reads at one applied index: one state of the database, held open. One thread at a time.
// The owner destroys the view soon, because the view occupies a connection of the pool.
class ReadView {
 public:
  virtual ~ReadView() = default;
  virtual LogIndex applied() const = 0;
  // Runs one SELECT, or a PRAGMA or EXPLAIN that only reads. A statement that would write is
  // INVALID_ARGUMENT with the advice to use Execute.
  virtual Status Query(const Statement& statement, const QueryLimits& limits, RowSink* sink) = 0;
  // Runs the query in pieces. The statement and the view must outlive the run.
  virtual std::unique_ptr<QueryRun> BeginQuery(const Statement& statement) = 0;
  // The write sequence of a table, or of the whole database for "". An unknown table has 0.
  virtual Result<int64_t> Version(const std::string& table) = 0;
  virtual Result<TxInfo> Transaction(const std::string& tx_id) = 0;
  // Changes with each change of the schema.
  virtual Result<int64_t> SchemaVersion() { return 0; }
  // Compiles a query, and fails as Query does. While the versions of the tables and of the schema
  // stay as they are, the query gives the same rows, unless it calls a function such as random().
  virtual Result<QuerySources> SourcesOf(const std::string& /*sql*/,
                                         const QueryLimits& /*limits*/) {
    return Unimplemented("this state machine does not know what a query reads");
  }
  // The tables and views that the text of a query names, in lower case (sqlite/named_tables.h). "" is
  // among them if the query reads what belongs to no table: then it needs all.
  virtual Result<std::set<std::string>> TablesNamed(const std::string& /*sql*/,
                                                    const QueryLimits& /*limits*/) {
    return Unimplemented("this state machine does not know what a query reads");
  }
  // The tables whose changes are retained, by name.
  virtual Result<std::vector<RetainedSetting>> RetainedSettings() {
    return std::vector<RetainedSetting>();
  }
  // A page of the audit.
  virtual Result<AuditPage> Audit(const AuditQuery& /*query*/) { return AuditPage(); }
  // The next page of retained changes.
  virtual Result<RetainedPage> Retained(const RetainedQuery& /*query*/) { return RetainedPage(); }
};

// A consistent copy of the database, which a peer will receive. One thread at a time, except that
// Complete may run beside the other calls.
class SnapshotReader {
 public:
  virtual ~SnapshotReader() = default;
  virtual const raft::SnapshotMeta& meta() const = 0;
  virtual uint64_t size_bytes() const = 0;
  // Identifies this copy. Another copy may have other bytes, even if it is of the same state.
  virtual uint64_t copy_id() const = 0;
  // Makes the copy if a reader needs it. While another reader reads the state itself and keeps
  // pace, Complete waits. It returns OK without a copy if the copy is dropped meanwhile. One reader
  // of each copy must call Complete; otherwise the other readers may wait for ever. Complete takes
  // long: it calls `proceed` now and then, and returns CANCELLED if `proceed` returns false.
  virtual Status Complete(const std::function<bool()>& /*proceed*/) { return OkStatus(); }
  // ReadInto, Read and Crc wait until the bytes that they need are there. If the copy fails, they
  // return its error. One thread at a time.
  //
  // Replaces `piece` by up to `size` bytes and their sum. A caller that reads piece after piece
  // gives the same string again, which spares to allocate and to clear the memory.
  virtual Status ReadInto(uint64_t offset, size_t size, SummedBytes* piece) = 0;
  Result<std::string> Read(uint64_t offset, size_t size) {
    SummedBytes piece;
    RETURN_IF_ERROR(ReadInto(offset, size, &piece));
    return std::move(piece.bytes);
  }
  // CRC32C of the whole copy, which the receiver verifies before the install.
  virtual Result<uint32_t> Crc() = 0;
};

// The digest of the whole database at one index. If two members have different digests, one of them
// is wrong.
struct StateDigest {
  uint64_t a = 0;
  uint64_t b = 0;
  bool operator==(const StateDigest&) const = default;
};

// One state of the database, held open to read its rows. One thread at a time. The owner destroys
// the scan when it is done, because the scan keeps the WAL from being restarted. The scan may
// outlive the state machine.
class StateScan {
 public:
  virtual ~StateScan() = default;
  virtual LogIndex index() const = 0;
  // True if the scan is of a digest entry, so all members scan this state. False if this node chose
  // the state alone.
  virtual bool is_digest_entry() const = 0;
  // Computes the digest from the sums that were kept while rows changed. Reads only tables that
  // have no sums.
  virtual Result<StateDigest> Digest() = 0;
  // Reads rows for about this time and compares them with the sums. True: all rows are read.
  //   DATA_LOSS           the file does not hold what was written to it
  //   CANCELLED, ABORTED  the scan is over: the database was closed, or the scan took too long
  virtual Result<bool> Scrub(SteadyTime budget) = 0;
  // True if an earlier scan had to be given up, so this one should not pause now.
  virtual bool hurry() const { return false; }
};

class ChangeRing;

class StateMachine {
 public:
  virtual ~StateMachine() = default;

  // Who may do what, as of the last entry that was applied. Never null. Thread-safe.
  virtual std::shared_ptr<const AccessRights> access() const {
    return std::make_shared<const AccessRights>();
  }

  // The recent changes, for those who watch them. Null if the state machine records none.
  // Thread-safe.
  virtual std::shared_ptr<ChangeRing> changes() { return nullptr; }

  virtual AppliedState applied_state() const = 0;
  virtual LogIndex applied_index() const = 0;
  // The file surely holds the entries up to this index even after a power cut, so the log may be
  // compacted up to this index.
  virtual LogIndex durable_index() const = 0;

  // Applies committed entries in order, in one or more SQLite transactions. `config` is the
  // configuration in force after the last entry. On return new ReadViews see the entries. Calls
  // `on_results` for each entry, in order, after the transaction of the entry is committed.
  virtual Status Apply(std::span<const raft::Entry> entries, const raft::Configuration& config,
                       LogIndex config_index,
                       const std::function<void(EntryResults)>& on_results) = 0;

  // The command that Apply is working on, if any. Thread-safe.
  virtual std::optional<ApplyingCommand> Applying() const { return std::nullopt; }

  // Thread-safe, and waits for no disk.
  virtual StateFigures figures() const { return {}; }

  // Refuses a command that no state of the database could make valid (syntax errors, a second
  // statement, refused kinds of statement, limits): INVALID_ARGUMENT or PERMISSION_DENIED. Does not
  // touch the writer. Thread-safe.
  virtual Status CheckProposal(const Command& command) = 0;

  // The deadline (lease clock, ms) of the prepared transaction that expires first. Thread-safe.
  virtual std::optional<uint64_t> NextDeadlineLeaseMs() const = 0;

  virtual TimeSeriesUpkeep time_series() const { return TimeSeriesUpkeep::kNone; }  // thread-safe

  // Waits up to `timeout` for a free reader. RESOURCE_EXHAUSTED if none becomes free. Thread-safe.
  virtual Result<std::unique_ptr<ReadView>> OpenReadView(SteadyTime timeout) = 0;

  // Bytes in the SQLite WAL. The node calls Checkpoint when the WAL is large, or when the last
  // checkpoint is long ago.
  virtual uint64_t WalBytes() const = 0;
  // Moves the WAL into the file and syncs the file. durable_index() then advances.
  virtual Status Checkpoint() = 0;

  // Keeps the WAL within its bounds: delays new views, or ends views and scans, so that a
  // checkpoint can move the whole WAL. The node calls it after Apply, and again after the time that
  // it returns. Fails as Checkpoint does.
  virtual Result<SteadyTime> BoundWal() { return SteadyTime::max(); }

  // After a failure: ends all readers, closes the database, opens it again and moves the whole WAL
  // into the file. applied_state() is then what is durable in the file. That may be less than was
  // applied before, but not less than durable_index() was, unless the file is damaged. After an
  // error nothing can be read or applied until a later Reopen or InstallSnapshot succeeds.
  virtual Status Reopen() = 0;

  // The scan of the state at the last digest entry. Null if there was no digest entry since the
  // last call. For the apply thread.
  virtual std::unique_ptr<StateScan> TakeScan() { return nullptr; }
  // A scan of the present state. For the apply thread.
  virtual Result<std::unique_ptr<StateScan>> BeginScan() {
    return Unimplemented("this state machine can not be scanned");
  }

  // A consistent copy of the present state, in the snapshot directory. Returns the last copy again
  // if that copy is at or past `index_min`. RESOURCE_EXHAUSTED if the disk lacks the space.
  // Thread-safe.
  virtual Result<std::shared_ptr<SnapshotReader>> OpenSnapshot(LogIndex index_min) = 0;
  // Frees the space of the last copy as soon as no reader uses it. Thread-safe.
  virtual void DropSnapshot() {}
  // The same for a backup. Its copy is another one than that of peers, so that a slow client does
  // not keep a peer waiting that needs a later state. The owner makes one backup at a time, and
  // drops the copy when the backup has ended in any way. Thread-safe.
  virtual Result<std::shared_ptr<SnapshotReader>> OpenBackup(LogIndex /*index_min*/) {
    return Unimplemented("this state machine makes no backups");
  }
  virtual void DropBackup() {}

  // Checks that the file at `path` is the whole database that `meta` describes, and that its rows
  // are those that were written: FAILED_PRECONDITION or DATA_LOSS if not. Reads the whole file,
  // which takes long. Calls `proceed` on this thread now and then; false ends the check with
  // CANCELLED. If `proceed` is empty, the check uses no other thread. Thread-safe.
  virtual Status CheckSnapshot(const std::string& path, const raft::SnapshotMeta& meta,
                               const std::function<bool()>& proceed) = 0;

  // Replaces the whole database by the file at `path`, which is on the same file system and has
  // passed CheckSnapshot. Ends all readers, swaps the files (sqlite/snapshot_install.h) and opens
  // the database. Does not read the whole file again. FAILED_PRECONDITION or DATA_LOSS if the
  // file's meta is not `meta`; then nothing has changed. After any other failure the database is
  // the old one or the new one, and another call continues from there.
  virtual Status InstallSnapshot(const std::string& path, const raft::SnapshotMeta& meta) = 0;
};

}  // namespace cairn::state_machine
