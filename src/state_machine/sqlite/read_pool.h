// ReadPool: read-only connections to the SQLite file, beside the writer's.
//
// In WAL mode a reader blocks nobody and sees one state for the length of its transaction. But a
// reader keeps the WAL from being restarted, so its age is bounded, and it is ended when the WAL
// grows too large (wal_bound.h). The pool does not know what the file means: the owner of the pool
// says how to read the applied index.
#pragma once

#include <sqlite3.h>

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "base/mutex.h"
#include "base/result.h"
#include "state_machine/command.h"
#include "state_machine/sqlite/read_clock.h"
#include "state_machine/sqlite/temporary_files.h"
#include "state_machine/sqlite/vector_sql.h"
#include "state_machine/state_machine.h"

namespace cairn::state_machine {

struct ReadPoolOptions {
  const char* vfs = nullptr;  // as in Storage
  std::string path;
  int readers_max = 16;
  size_t cache_bytes = 1 << 20;       // page cache of each connection
  size_t statements_cached_max = 64;  // of each connection
  // Of the files in which queries sort and keep rows: all together, and each (temporary_files.h).
  uint64_t temporary_bytes_max = 512 << 20;
  uint64_t temporary_file_bytes_max = 256 << 20;
  // A query for one row: the applied index of the state and, if the state knows them, the latest
  // time that an entry gave to SQL (read_clock.h) and the lease clock (lease_function.h).
  std::string applied_sql;
  // Rows that are likely to be near a vector, for a view at an index (vectors/index_search.h). May be
  // empty.
  std::function<std::optional<std::vector<int64_t>>(LogIndex applied,
                                                    const vectors::IndexDefinition& index,
                                                    const vectors::View& query, size_t k)>
      candidates;
  // Registers functions and collations for queries on each new connection. May be empty.
  std::function<Status(sqlite3*)> on_connect;
};

class ReadConnection;
enum class ViewEnd : uint8_t;
class ReadTransaction;
struct PreparedRead;

// QueryRun on one ReadTransaction. The transaction and the statement must outlive the run.
class ReadRun final : public QueryRun {
 public:
  ~ReadRun() override;
  Result<bool> Continue(const QueryLimits& limits, RowSink* sink) override;

 private:
  friend class ReadTransaction;
  ReadRun(ReadTransaction* view, const Statement& statement, bool internal)
      : view_(view), statement_(statement), internal_(internal) {}
  Status Begin(const QueryLimits& limits);
  // Gives one row to `sink`, which runs unlocked. True: there was no more row. `lock` is the lock
  // of the connection; clang does not follow a lock through a pointer.
  Result<bool> Next(MutexLock* lock, const QueryLimits& limits, SteadyTime started,
                    RowSink* sink) CAIRN_NO_THREAD_SAFETY_ANALYSIS;
  // Gives the prepared statement back to its connection.
  void End();

  ReadTransaction* const view_;
  const Statement& statement_;
  const bool internal_;
  bool columns_given_ = false;
  PreparedRead* read_ = nullptr;  // while the query runs
};

// One read transaction: all its answers are of one state. One thread at a time. The destructor
// gives the connection back. A transaction must not outlive the pool.
class ReadTransaction {
 public:
  ~ReadTransaction();
  ReadTransaction(const ReadTransaction&) = delete;
  ReadTransaction& operator=(const ReadTransaction&) = delete;

  // The applied index of the state. It grows if a query finds no memory: SQLite then ends the
  // transaction, and the view continues with a later state.
  LogIndex applied() const { return applied_; }
  // A client's statement: one SELECT, VALUES, EXPLAIN or reading PRAGMA; not on tables named
  // _cairn_*.
  //   INVALID_ARGUMENT    malformed, of more than one statement, writing, wrong parameters
  //   PERMISSION_DENIED   what clients may not read, ATTACH, load_extension, other PRAGMAs
  //   RESOURCE_EXHAUSTED  a value or row of more than 16 MiB; or limits.check says so
  //   ABORTED             the view is older than limits.age_max, or has kept the WAL from beginning
  //                       anew for too long
  //   CANCELLED, DEADLINE_EXCEEDED   as `limits` says
  //   UNAVAILABLE         the pool was drained: open another view
  // Any status of the sink ends the query and is returned as it is.
  Status Query(const Statement& statement, const QueryLimits& limits, RowSink* sink);
  // Runs the query in pieces.
  std::unique_ptr<QueryRun> BeginQuery(const Statement& statement);

  // The tables that a client's query reads (ReadConnection::TablesRead).
  Result<std::set<std::string>> TablesRead(const std::string& sql, const QueryLimits& limits);

  // A statement of the owner of the pool, which may read _cairn_* tables. Never for a client's
  // text.
  Status QueryInternal(const Statement& statement, RowSink* sink);

 private:
  friend class ReadPool;
  friend class ReadRun;
  ReadTransaction(class ReadPool* pool, ReadConnection* connection, SteadyTime opened);
  Status Begin(const std::string& applied_sql);
  void BeginAgainIfLost();
  Status Run(const Statement& statement, const QueryLimits& limits, bool internal, RowSink* sink);

  class ReadPool* const pool_;
  ReadConnection* const connection_;
  const SteadyTime opened_;
  LogIndex applied_;
};

// Thread-safe.
class ReadPool {
 public:
  // Opens no connection yet: the file may not exist before the first Open.
  explicit ReadPool(ReadPoolOptions options, Clock& clock = SystemClock());
  // No transaction may be open.
  ~ReadPool();
  ReadPool(const ReadPool&) = delete;
  ReadPool& operator=(const ReadPool&) = delete;

  // RESOURCE_EXHAUSTED if no connection becomes free in time, UNAVAILABLE if the pool stays
  // drained.
  Result<std::unique_ptr<ReadTransaction>> Open(SteadyTime timeout);

  // Closes every connection, also those in use. Running queries end with UNAVAILABLE, and so does
  // every later query on an earlier view. On return no connection of the pool holds the file. Waits
  // only for SQLite's present work, never for a sink. Open waits until Reopen.
  void DrainAndClose();
  // Lets new views open. Does nothing if the pool is not drained.
  void Reopen();

  // Ends the transactions of views that are older than `age_max`, running or idle; their running or
  // next query gets ABORTED. Called before a checkpoint, because an idle view holds the WAL back
  // too.
  void EndViewsOlderThan(SteadyTime age_max);
  // Does the same for all views, because the WAL is too large.
  void EndViewsForWal();

  // While `hold` is true, Open waits before it begins, for kViewHoldMax at most.
  void HoldNewViews(bool hold);

  // Connections that are in use now.
  int in_use() const;
  // Those of them that still hold the WAL back. An ended view is in use until its owner gives it
  // back.
  int holding_wal() const;

 private:
  friend class ReadTransaction;
  friend class ReadRun;
  Result<ReadConnection*> Take(SteadyTime timeout);
  void GiveBack(ReadConnection* connection);
  void EndViews(SteadyTime age_min, ViewEnd why);

  ReadClock read_clock_;
  TemporaryFiles temporary_files_;  // on top of read_clock_
  const ReadPoolOptions options_;   // with the VFS of temporary_files_
  Clock& clock_;
  mutable Mutex mutex_;
  CondVar changed_;  // a connection became free, or the pool was reopened
  bool drained_ CAIRN_GUARDED_BY(mutex_) = false;
  bool held_ CAIRN_GUARDED_BY(mutex_) = false;
  // At most readers_max; never shrinks.
  std::vector<std::unique_ptr<ReadConnection>> connections_ CAIRN_GUARDED_BY(mutex_);
  // Used as a stack, so a warm connection is used first.
  std::vector<ReadConnection*> free_ CAIRN_GUARDED_BY(mutex_);
};

}  // namespace cairn::state_machine
