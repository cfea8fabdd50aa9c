// ReadPool: read-only connections to the SQLite file, beside the writer's.
//
// In WAL mode a reader blocks nobody and sees one state for as long as its transaction lasts. But
// a reader keeps the WAL from beginning anew, so its age is bounded, and it is ended when the WAL
// grows too large (wal_bound.h). The pool knows nothing of what the file means: the composition
// root says how to find the applied index.
#pragma once

#include <sqlite3.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "base/mutex.h"
#include "base/result.h"
#include "state_machine/command.h"
#include "state_machine/sqlite/read_clock.h"
#include "state_machine/state_machine.h"

namespace cairn::state_machine {

struct ReadPoolOptions {
  const char* vfs = nullptr;  // as in Storage
  std::string path;
  int readers_max = 16;
  size_t cache_bytes = 1 << 20;       // page cache of each connection
  size_t statements_cached_max = 64;  // of each connection
  // Yields one row: the applied index that the state read from is at, and, if the state knows it, the
  // latest time that an entry gave to SQL (read_clock.h).
  std::string applied_sql;
  // Registers what queries may need on each new connection (functions, collations); may be empty.
  std::function<Status(sqlite3*)> on_connect;
};

class ReadConnection;
enum class ViewEnd : uint8_t;
class ReadTransaction;
struct PreparedRead;

// QueryRun on one ReadTransaction, which must outlive it, as must the statement.
class ReadRun final : public QueryRun {
 public:
  ~ReadRun() override;
  Result<bool> Continue(const QueryLimits& limits, RowSink* sink) override;

 private:
  friend class ReadTransaction;
  ReadRun(ReadTransaction* view, const Statement& statement, bool internal)
      : view_(view), statement_(statement), internal_(internal) {}
  Status Begin(const QueryLimits& limits);
  // One row for `sink`, which runs unlocked. True: there was none any more. `lock` is that of the
  // connection; clang does not follow a lock through a pointer.
  Result<bool> Next(MutexLock* lock, const QueryLimits& limits, SteadyTime started,
                    RowSink* sink) CAIRN_NO_THREAD_SAFETY_ANALYSIS;
  // Gives the prepared statement back to its connection.
  void End();

  ReadTransaction* const view_;
  const Statement& statement_;
  const bool internal_;
  bool columns_given_ = false;
  PreparedRead* read_ = nullptr;  // while it is under way
};

// One read transaction: everything it answers is of one state. One thread at a time. Destroying it
// gives the connection back; it must not outlive the pool.
class ReadTransaction {
 public:
  ~ReadTransaction();
  ReadTransaction(const ReadTransaction&) = delete;
  ReadTransaction& operator=(const ReadTransaction&) = delete;

  // Grows if a query finds no memory: SQLite ends the transaction, and the view goes on with a later
  // state.
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
  // The same in pieces.
  std::unique_ptr<QueryRun> BeginQuery(const Statement& statement);

  // The composition root's own statement: may read _cairn_* tables. Never give it a client's text.
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

  // RESOURCE_EXHAUSTED if no connection gets free in time, UNAVAILABLE if the pool stays drained.
  Result<std::unique_ptr<ReadTransaction>> Open(SteadyTime timeout);

  // Closes every connection, also those in use: running queries end with UNAVAILABLE, and so does
  // every later one on a view opened before. On return no connection of the pool holds the file.
  // Waits only for what SQLite is just doing, never for a sink. Open waits until Reopen.
  void DrainAndClose();
  // Lets new views open. A no-op if the pool is not drained.
  void Reopen();

  // Ends the transactions of views that are older than `age_max`, running or idle; their next (or
  // running) query gets ABORTED. To be called before a checkpoint: an idle view holds the WAL back
  // as well.
  void EndViewsOlderThan(SteadyTime age_max);
  // The same for all views, since the WAL is too large.
  void EndViewsForWal();

  // While it is true, Open waits before it begins: until it is false, for kViewHoldMax at most.
  void HoldNewViews(bool hold);

  // Connections that are in use now.
  int in_use() const;
  // Of these, those that still hold the WAL back. A view that was ended is in use until its owner
  // gives it back.
  int holding_wal() const;

 private:
  friend class ReadTransaction;
  friend class ReadRun;
  Result<ReadConnection*> Take(SteadyTime timeout);
  void GiveBack(ReadConnection* connection);
  void EndViews(SteadyTime age_min, ViewEnd why);

  ReadClock read_clock_;
  const ReadPoolOptions options_;  // with the VFS of read_clock_
  Clock& clock_;
  mutable Mutex mutex_;
  CondVar changed_;  // a connection got free, or the pool was reopened
  bool drained_ CAIRN_GUARDED_BY(mutex_) = false;
  bool held_ CAIRN_GUARDED_BY(mutex_) = false;
  // At most readers_max; never shrinks.
  std::vector<std::unique_ptr<ReadConnection>> connections_ CAIRN_GUARDED_BY(mutex_);
  // Used as a stack: the warm one first.
  std::vector<ReadConnection*> free_ CAIRN_GUARDED_BY(mutex_);
};

}  // namespace cairn::state_machine
