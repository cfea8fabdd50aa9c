// One connection of the read pool: the SQLite handle, its statements, and the checks on queries.
#pragma once

#include <sqlite3.h>

#include <atomic>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/result.h"
#include "state_machine/sqlite/page_reads.h"
#include "state_machine/sqlite/read_pool.h"
#include "state_machine/sqlite/reader_functions.h"
#include "state_machine/sqlite/statement.h"
#include "state_machine/sqlite/statement_cache.h"

namespace cairn::state_machine {

// Why a view ended before its owner gave it back.
enum class ViewEnd : uint8_t { kNone, kDrained, kTooOld, kWalTooLarge, kLost };

// Locking: `mutex` is held while SQLite works on the handle, and while the handle is opened or
// closed. It is never held while a sink is called, so nobody waits for a slow client. `end` may be
// set at any time.
class ReadConnection {
 public:
  ReadConnection(const ReadPoolOptions& options, Clock& clock);
  ~ReadConnection();

  Mutex mutex;
  std::atomic<ViewEnd> end{ViewEnd::kNone};
  // Guarded by the pool's mutex.
  bool in_use = false;
  SteadyTime opened{0};

  // Makes SQLite return soon from its present work, if there is any. Needs no lock.
  void Interrupt();
  // The lease clock of the state of the present transaction.
  void SetLease(uint64_t lease_ms) { functions_->SetLease(lease_ms); }
  // The index of that state.
  void SetApplied(LogIndex applied) { applied_ = applied; }
  // True if there is a handle, which may hold the WAL back. Needs no lock.
  bool is_open();

  // ---- with `mutex` held ----
  Status Begin();
  // Ends the transaction. Closes the handle if the transaction does not end cleanly, or if the
  // handle misbehaved before.
  void Finish();
  void Close();
  Result<PreparedRead*> Prepare(const std::string& sql, bool internal, const QueryLimits& limits);
  // The tables and views that a client's query names, those within views included, and what its
  // virtual tables read when they are opened. In lower case. Fails as Prepare does.
  Result<std::set<std::string>> TablesRead(const std::string& sql, const QueryLimits& limits);
  // Called before a statement runs. INVALID_ARGUMENT if its parameters ask for too much work.
  Status OnParameters(PreparedRead* read, const Statement& statement);
  // Calls sqlite3_step. If the result is OK, *has_row says whether there is a row.
  Status Step(PreparedRead* read, bool internal, const QueryLimits& limits, SteadyTime started,
              bool* has_row);
  // The current row, or an error if the row is too large.
  Result<Row> TakeRow(PreparedRead* read, size_t bytes_max);
  // The columns at the last step. (A step may recompile the statement after a change of the
  // schema.)
  ColumnsPtr Columns(PreparedRead* read);
  // OK while the view may continue.
  Status CheckLimits(const QueryLimits& limits, SteadyTime started) const;

 private:
  Status Connect();
  Status Configure(sqlite3* db);
  Status Run(const char* sql);
  // Checks and compiles a text. *flattened: as in PreparedRead.
  Result<StatementPtr> CompileChecked(const std::string& sql, bool internal,
                                      const QueryLimits& limits, bool* flattened);
  // Tries once. If the memory gate refuses, *refusal says why.
  Result<StatementPtr> Compile(const std::string& sql, bool flattened, Status* refusal);
  static int Poll(void* self);
  // Called by a MemoryGate: a row may make many large values between two polls.
  static Status AskForMemory(void* self, size_t bytes);
  static int Authorize(void* self, int action, const char* a, const char* b, const char* db,
                       const char* trigger);
  int Deny(Status why);
  // True if the program searches a virtual table.
  Result<bool> Searches(const PreparedRead& read);
  // Lowers SQLite's limit on patterns if a value of `bytes` may be compared with a pattern.
  void BoundPatterns(size_t bytes);

  const ReadPoolOptions& options_;
  Clock& clock_;
  Mutex handle_mutex_;  // guards the pointer db_ against Interrupt; never held over work
  sqlite3* db_ = nullptr;
  bool broken_ = false;
  std::unique_ptr<ReaderFunctions> functions_;  // of db_
  std::unique_ptr<PageReads> page_reads_;       // of db_
  LogIndex applied_;                            // of the state of this transaction
  size_t longest_bytes_ = 0;                    // of the values of this transaction
  StatementCache client_statements_;
  StatementCache internal_statements_;
  // What is being done now.
  bool internal_ = false;
  const QueryLimits* limits_ = nullptr;
  SteadyTime started_{0};
  size_t near_phrases_ = 0;
  size_t compile_bytes_left_ = 0;                 // 0: nothing is compiled
  bool compile_too_large_ = false;                // there were not enough of them
  Status stopped_;                                // why Poll stopped SQLite
  Status denied_;                                 // why Authorize refused
  std::set<std::string>* tables_read_ = nullptr;  // null: nobody asks
};

}  // namespace cairn::state_machine
