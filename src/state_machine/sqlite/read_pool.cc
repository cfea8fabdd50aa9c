#include "state_machine/sqlite/read_pool.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "state_machine/sqlite/read_connection.h"
#include "state_machine/sqlite/wal_bound.h"

namespace cairn::state_machine {
namespace {

// The limits of the pool's own statements.
ReadPoolOptions WithVfs(ReadPoolOptions options, const char* vfs) {
  options.vfs = vfs;
  return options;
}

class OneRow final : public RowSink {
 public:
  Status OnColumns(const std::vector<Column>&) override { return OkStatus(); }
  Status OnRow(Row row) override {
    row_ = std::move(row);
    return OkStatus();
  }
  const Row& row() const { return row_; }

 private:
  Row row_;
};

}  // namespace

// ---- ReadTransaction ----------------------------------------------------------------------------

ReadTransaction::ReadTransaction(ReadPool* pool, ReadConnection* connection, SteadyTime opened)
    : pool_(pool), connection_(connection), opened_(opened) {}

ReadTransaction::~ReadTransaction() {
  {
    MutexLock lock(connection_->mutex);
    if (connection_->end.load(std::memory_order_acquire) == ViewEnd::kNone) {
      connection_->Finish();
    } else {
      connection_->Close();
    }
  }
  pool_->GiveBack(connection_);
}

Status ReadTransaction::Begin(const std::string& applied_sql) {
  const QueryLimits limits;
  {
    MutexLock lock(connection_->mutex);
    RETURN_IF_ERROR(connection_->CheckLimits(limits, opened_));
    RETURN_IF_ERROR(connection_->Begin());
  }
  // BEGIN alone is deferred: this read fixes the state that the view sees.
  OneRow applied;
  RETURN_IF_ERROR(Run(Statement{applied_sql, {}, {}}, limits, /*internal=*/true, &applied));
  const Row& row = applied.row();
  if (row.empty() || !std::holds_alternative<int64_t>(row[0])) {
    return Internal("the database does not say what index it is at");
  }
  applied_ = LogIndex(static_cast<uint64_t>(std::get<int64_t>(row[0])));
  connection_->SetApplied(applied_);
  if (row.size() > 1 && std::holds_alternative<int64_t>(row[1])) {
    pool_->read_clock_.AtLeast(std::get<int64_t>(row[1]));
  }
  if (row.size() > 2 && std::holds_alternative<int64_t>(row[2])) {
    connection_->SetLease(static_cast<uint64_t>(std::get<int64_t>(row[2])));
  }
  return OkStatus();
}

// Later queries are not to blame for the query that ended the transaction.
void ReadTransaction::BeginAgainIfLost() {
  ViewEnd lost = ViewEnd::kLost;
  std::atomic<ViewEnd>& end = connection_->end;
  if (!end.compare_exchange_strong(lost, ViewEnd::kNone, std::memory_order_acq_rel)) return;
  ViewEnd none = ViewEnd::kNone;
  if (!Begin(pool_->options_.applied_sql).ok()) {
    end.compare_exchange_strong(none, ViewEnd::kLost, std::memory_order_acq_rel);
  }
}

Status ReadTransaction::Query(const Statement& statement, const QueryLimits& limits,
                              RowSink* sink) {
  return Run(statement, limits, /*internal=*/false, sink);
}

Status ReadTransaction::QueryInternal(const Statement& statement, RowSink* sink) {
  return Run(statement, QueryLimits{}, /*internal=*/true, sink);
}

Result<std::set<std::string>> ReadTransaction::TablesRead(const std::string& sql,
                                                          const QueryLimits& limits) {
  MutexLock lock(connection_->mutex);
  RETURN_IF_ERROR(connection_->CheckLimits(limits, pool_->clock_.SteadyNow()));
  return connection_->TablesRead(sql, limits);
}

std::unique_ptr<QueryRun> ReadTransaction::BeginQuery(const Statement& statement) {
  return std::unique_ptr<QueryRun>(new ReadRun(this, statement, /*internal=*/false));
}

Status ReadTransaction::Run(const Statement& statement, const QueryLimits& limits, bool internal,
                            RowSink* sink) {
  ReadRun run(this, statement, internal);
  for (;;) {
    ASSIGN_OR_RETURN(const bool ended, run.Continue(limits, sink));
    if (ended) return OkStatus();
  }
}

// ---- ReadRun ------------------------------------------------------------------------------------

ReadRun::~ReadRun() {
  if (read_ == nullptr) return;
  ReadConnection& c = *view_->connection_;
  MutexLock lock(c.mutex);
  // An ended view may have closed its handle, and its statement with it.
  if (c.end.load(std::memory_order_acquire) == ViewEnd::kNone) End();
}

Status ReadRun::Begin(const QueryLimits& limits) {
  ASSIGN_OR_RETURN(read_, view_->connection_->Prepare(statement_.sql, internal_, limits));
  Status bound = view_->connection_->OnParameters(read_, statement_);
  if (bound.ok()) bound = BindParameters(read_->stmt.get(), statement_);
  if (!bound.ok()) End();
  return bound;
}

void ReadRun::End() {
  sqlite3_stmt* const stmt = std::exchange(read_, nullptr)->stmt.get();
  sqlite3_reset(stmt);
  sqlite3_clear_bindings(stmt);
}

Result<bool> ReadRun::Continue(const QueryLimits& limits, RowSink* sink) {
  ReadConnection& c = *view_->connection_;
  const SteadyTime started = view_->pool_->clock_.SteadyNow();
  MutexLock lock(c.mutex);
  if (Status over = c.CheckLimits(limits, started); !over.ok()) {
    // The statement of an ended view is gone with its connection.
    if (c.end.load(std::memory_order_acquire) != ViewEnd::kNone) read_ = nullptr;
    if (read_ != nullptr) End();
    return over;
  }
  if (read_ == nullptr) RETURN_IF_ERROR(Begin(limits));
  for (;;) {
    Result<bool> ended = Next(&lock, limits, started, sink);
    if (ended.ok() && !*ended) {
      if (sink->Full()) return false;
      continue;
    }
    if (read_ != nullptr) End();
    lock.Unlock();
    if (!ended.ok() && !internal_) view_->BeginAgainIfLost();
    return ended;
  }
}

Result<bool> ReadRun::Next(MutexLock* lock, const QueryLimits& limits, SteadyTime started,
                           RowSink* sink) {
  ReadConnection& c = *view_->connection_;
  bool has_row = false;
  RETURN_IF_ERROR(c.Step(read_, internal_, limits, started, &has_row));
  const ColumnsPtr columns = columns_given_ ? nullptr : c.Columns(read_);
  Row row;
  if (has_row) {
    ASSIGN_OR_RETURN(row, c.TakeRow(read_, limits.row_bytes_max));
  }
  // The sink may take long. It runs unlocked, so a drain need not wait for it.
  lock->Unlock();
  Status status = OkStatus();
  if (columns != nullptr) status = sink->OnColumns(*columns);
  columns_given_ = true;
  if (status.ok() && has_row) status = sink->OnRow(std::move(row));
  lock->Lock();
  // The view may have been ended meanwhile, and the statement be gone with its connection.
  if (c.end.load(std::memory_order_acquire) != ViewEnd::kNone) read_ = nullptr;
  if (status.ok() && has_row) status = c.CheckLimits(limits, started);
  if (!status.ok()) return status;
  return !has_row;
}

// ---- ReadPool -----------------------------------------------------------------------------------

ReadPool::ReadPool(ReadPoolOptions options, Clock& clock)
    : read_clock_(options.vfs),
      temporary_files_({.base = read_clock_.name(),
                        .bytes_max = options.temporary_bytes_max,
                        .file_bytes_max = options.temporary_file_bytes_max}),
      options_(WithVfs(std::move(options), temporary_files_.name())),
      clock_(clock) {
  CHECK(options_.readers_max > 0 && options_.statements_cached_max > 0);
}

ReadPool::~ReadPool() { CHECK(in_use() == 0) << "a view outlives its pool"; }

int ReadPool::in_use() const {
  MutexLock lock(mutex_);
  return static_cast<int>(connections_.size() - free_.size());
}

Result<ReadConnection*> ReadPool::Take(SteadyTime timeout) {
  MutexLock lock(mutex_);
  if (held_)
    changed_.WaitFor(lock, std::min(timeout, kViewHoldMax),
                     [this]() CAIRN_REQUIRES(mutex_) { return !held_; });
  const auto available = [this]() CAIRN_REQUIRES(mutex_) {
    return !drained_ &&
           (!free_.empty() || connections_.size() < static_cast<size_t>(options_.readers_max));
  };
  if (!changed_.WaitFor(lock, timeout, available)) {
    if (drained_) return Unavailable("the database is being replaced by a snapshot");
    return ResourceExhausted("all " + std::to_string(options_.readers_max) + " readers are in use");
  }
  ReadConnection* connection = nullptr;
  if (!free_.empty()) {
    connection = free_.back();
    free_.pop_back();
  } else {
    connections_.push_back(std::make_unique<ReadConnection>(options_, clock_));
    connection = connections_.back().get();
  }
  connection->in_use = true;
  connection->opened = clock_.SteadyNow();
  connection->end.store(ViewEnd::kNone, std::memory_order_release);
  return connection;
}

void ReadPool::GiveBack(ReadConnection* connection) {
  bool held = false;
  {
    MutexLock lock(mutex_);
    connection->in_use = false;
    free_.push_back(connection);
    held = held_;
  }
  // Wakes all threads: if only one were woken, it might be one that waits for the end of the hold.
  held ? changed_.NotifyAll() : changed_.NotifyOne();
}

Result<std::unique_ptr<ReadTransaction>> ReadPool::Open(SteadyTime timeout) {
  ASSIGN_OR_RETURN(ReadConnection* const connection, Take(timeout));
  std::unique_ptr<ReadTransaction> view(new ReadTransaction(this, connection, connection->opened));
  RETURN_IF_ERROR(view->Begin(options_.applied_sql));
  return view;
}

void ReadPool::DrainAndClose() {
  std::vector<ReadConnection*> all;
  {
    // Taking a connection needs this lock. Views on connections that were taken before end here;
    // threads that come later wait for Reopen.
    MutexLock lock(mutex_);
    drained_ = true;
    held_ = false;
    for (const auto& connection : connections_) {
      all.push_back(connection.get());
      connection->end.store(ViewEnd::kDrained, std::memory_order_release);
      connection->Interrupt();
    }
  }
  for (ReadConnection* connection : all) {
    MutexLock lock(connection->mutex);
    connection->Close();
  }
}

void ReadPool::Reopen() {
  {
    MutexLock lock(mutex_);
    drained_ = false;
  }
  changed_.NotifyAll();
}

void ReadPool::HoldNewViews(bool hold) {
  {
    MutexLock lock(mutex_);
    if (std::exchange(held_, hold) == hold) return;
  }
  if (!hold) changed_.NotifyAll();
}

int ReadPool::holding_wal() const {
  MutexLock lock(mutex_);
  return static_cast<int>(std::count_if(
      connections_.begin(), connections_.end(),
      [](const auto& connection) { return connection->in_use && connection->is_open(); }));
}

void ReadPool::EndViewsOlderThan(SteadyTime age_max) { EndViews(age_max, ViewEnd::kTooOld); }

void ReadPool::EndViewsForWal() { EndViews(SteadyTime::min(), ViewEnd::kWalTooLarge); }

void ReadPool::EndViews(SteadyTime age_min, ViewEnd why) {
  std::vector<ReadConnection*> old;
  {
    MutexLock lock(mutex_);
    const SteadyTime now = clock_.SteadyNow();
    for (const auto& connection : connections_) {
      if (!connection->in_use || now - connection->opened <= age_min) continue;
      if (connection->end.load(std::memory_order_acquire) != ViewEnd::kNone) continue;
      connection->end.store(why, std::memory_order_release);
      connection->Interrupt();
      old.push_back(connection.get());
    }
  }
  for (ReadConnection* connection : old) {
    // Called by the apply thread, which waits for nobody. A reader within one long step, which
    // nothing interrupts, sees `end` after the step and closes itself.
    if (!connection->mutex.TryLock()) continue;
    // The owner may have given the connection back meanwhile, and another owner may have taken it.
    if (connection->end.load(std::memory_order_acquire) == why) connection->Close();
    connection->mutex.Unlock();
  }
}

}  // namespace cairn::state_machine
