// One connection of the read pool: the SQLite handle, its statements, and what may be asked of it.
#pragma once

#include <sqlite3.h>

#include <atomic>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/result.h"
#include "state_machine/sqlite/read_pool.h"
#include "state_machine/sqlite/reader_functions.h"
#include "state_machine/sqlite/statement.h"

namespace cairn::state_machine {

using ColumnsPtr = std::shared_ptr<const std::vector<Column>>;

// A prepared statement and the columns it yields.
struct PreparedRead {
  std::string sql;
  StatementPtr stmt;
  ColumnsPtr columns;
  int reprepared = -1;    // SQLite's count of recompilations that `columns` belong to
  bool flattened = true;  // its subqueries were, if possible (column_growth.h)
};

// The most recently used statements of one connection.
class StatementCache {
 public:
  explicit StatementCache(size_t size_max) : size_max_(size_max) {}
  // Null if it is not there.
  PreparedRead* Find(const std::string& sql);
  // May finalize the least recently used one.
  PreparedRead* Insert(const std::string& sql, StatementPtr stmt);
  void Clear();

 private:
  const size_t size_max_;
  std::list<PreparedRead> lru_;  // most recently used first
  std::unordered_map<std::string_view, std::list<PreparedRead>::iterator> by_sql_;
};

// Why a view ended before its owner gave it back.
enum class ViewEnd : uint8_t { kNone, kDrained, kTooOld, kWalTooLarge, kLost };

// Locking: `mutex` is held by whoever lets SQLite work on the handle, opens or closes it. It is
// never held while a sink is called, so that nobody waits for a slow client. `end` may be set at
// any time.
class ReadConnection {
 public:
  ReadConnection(const ReadPoolOptions& options, Clock& clock);
  ~ReadConnection();

  Mutex mutex;
  std::atomic<ViewEnd> end{ViewEnd::kNone};
  // Guarded by the pool's mutex.
  bool in_use = false;
  SteadyTime opened{0};

  // Makes SQLite return soon from what it is doing, if it is doing anything. Needs no lock.
  void Interrupt();
  // Whether there is a handle, which may hold the WAL back. Needs no lock.
  bool is_open();

  // ---- with `mutex` held ----
  Status Begin();
  // Ends the transaction; closes the handle if it does not end cleanly, or misbehaved before.
  void Finish();
  void Close();
  Result<PreparedRead*> Prepare(const std::string& sql, bool internal, const QueryLimits& limits);
  // The longest parameter of a statement that is about to run has so many bytes.
  void OnParameters(size_t bytes) { BoundPatterns(bytes); }
  // sqlite3_step. OK: look at *has_row.
  Status Step(PreparedRead* read, bool internal, const QueryLimits& limits, SteadyTime started,
              bool* has_row);
  // The current row, if it is not too large.
  Result<Row> TakeRow(PreparedRead* read, size_t bytes_max);
  // Columns as of the last step (which may have recompiled the statement after a change of schema).
  ColumnsPtr Columns(PreparedRead* read);
  // OK as long as the view may go on.
  Status CheckLimits(const QueryLimits& limits, SteadyTime started) const;

 private:
  Status Connect();
  Status Configure(sqlite3* db);
  Status Run(const char* sql);
  // One try, which may lack memory for the reason `refusal`.
  Result<StatementPtr> Compile(const std::string& sql, bool flattened, Status* refusal);
  static int Poll(void* self);
  // For a MemoryGate: a row may make many large values between two polls.
  static Status AskForMemory(void* self, size_t bytes);
  static int Authorize(void* self, int action, const char* a, const char* b, const char* db,
                       const char* trigger);
  int Deny(Status why);
  // A value of `bytes` may be compared with a pattern.
  void BoundPatterns(size_t bytes);

  const ReadPoolOptions& options_;
  Clock& clock_;
  Mutex handle_mutex_;  // guards the pointer db_ against Interrupt; never held over work
  sqlite3* db_ = nullptr;
  bool broken_ = false;
  std::unique_ptr<ReaderFunctions> functions_;  // of db_
  size_t longest_bytes_ = 0;                    // of the values of this transaction
  StatementCache client_statements_;
  StatementCache internal_statements_;
  // What is being done now.
  bool internal_ = false;
  const QueryLimits* limits_ = nullptr;
  SteadyTime started_{0};
  size_t compile_bytes_left_ = 0;   // 0: nothing is compiled
  bool compile_too_large_ = false;  // there were not enough of them
  Status stopped_;                  // why Poll stopped SQLite
  Status denied_;                   // why Authorize refused
};

}  // namespace cairn::state_machine
