// Transactions: the prepared halves of two-phase commits, and the tables they hold.
//
// Apply cannot wait, because the Commit that would end the wait stands behind in the log. So
// Prepare runs its statements and undoes them, and holds every table they read or write; what
// conflicts fails at once with ABORTED. Between Prepare and Commit nothing can change what the
// statements see, and Commit runs them with Prepare's time and random seed: it cannot fail for
// reasons of SQL.
//
// Answers by state of the id (every step may be repeated):
//              unknown              prepared      committed            rolled back / expired
//   Prepare    staged               staged too    FAILED_PRECONDITION  FAILED_PRECONDITION
//   Commit     NOT_FOUND            committed     OK                   FAILED_PRECONDITION
//   Rollback   OK, and remembered   rolled back   FAILED_PRECONDITION  OK
// Rollback of an unknown id is remembered, so that a Prepare that was delayed behind it cannot hold
// tables for a transaction that its coordinator gave up. Finished ids are remembered up to
// kFinishedMax, the oldest go first; after that they are unknown.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/status.h"
#include "state_machine/command.h"
#include "state_machine/sqlite/authorizer.h"
#include "state_machine/sqlite/internal_sql.h"
#include "state_machine/sqlite/shares.h"
#include "state_machine/state_machine.h"

namespace cairn::state_machine {

inline constexpr uint64_t kPrepareTimeoutDefaultMs = 60'000;
inline constexpr uint64_t kPrepareTimeoutMaxMs = 3'600'000;
// Of all prepared transactions together, in memory; a client holds an eighth at most, so that is
// also the most that one transaction takes.
inline constexpr uint64_t kPreparedBytesMax = 64 << 20;
inline constexpr uint64_t kTxBytes = 64 << 10;  // what one counts, beside what it holds
inline constexpr size_t kStatementsPerTxMax = 1000;
inline constexpr size_t kFinishedMax = 10'000;

struct PreparedTx {
  std::string id;
  std::string owner;  // the principal of its first Prepare; empty once it has ended
  TxState state = TxState::kPrepared;
  uint64_t number = 0;  // of the command that made it, and later of the one that ended it
  uint64_t deadline_lease_ms = 0;
  // Of the first Prepare; all its statements see them.
  int64_t wall_ms = 0;
  uint64_t seed = 0;
  std::vector<Statement> statements;
  std::set<std::string> reads;
  std::set<std::string> writes;
  bool holds_all = false;  // a statement changes the schema
};

// What a prepared transaction counts of kPreparedBytesMax.
uint64_t BytesOf(const PreparedTx& tx);
// What the statement adds to that, apart from the names of the tables.
uint64_t BytesOf(const Statement& statement);

// The apply thread's. Changes are written at once, in the batch's transaction.
class Transactions {
 public:
  static const char* const kSchema;

  Status Open(sqlite3* db);
  void Close();

  // Null if unknown.
  const PreparedTx* Find(const std::string& id) const;
  bool any_prepared() const { return !deadlines_.empty(); }
  uint64_t prepared_bytes() const { return shares_.total(); }
  // Of the prepared transaction that expires first.
  std::optional<uint64_t> NextDeadlineLeaseMs() const;

  // ABORTED if a prepared transaction holds what the program touches. A prepare (of `tx_id`; empty:
  // an ordinary write) is more careful: its own reads must stay as they are until it commits.
  Status CheckConflicts(const ProgramFacts& facts, const std::string& tx_id) const;

  // RESOURCE_EXHAUSTED, not applied, if there is no room for `bytes` of a transaction of `owner`, of
  // which those that are counted under `tx_id` are part.
  Status CheckRoom(const std::string& owner, const std::string& tx_id, uint64_t bytes);

  // Puts `tx` in the place of what is known under its id; writes what is new.
  Status Stage(PreparedTx tx);
  Status Finish(const std::string& id, TxState state, uint64_t number);
  // Ends those whose deadline has come. `number`: of the entry's first command.
  Status Expire(uint64_t lease_ms, uint64_t number);

  void BatchCommitted() {
    changed_ = false;
    shares_.Collect();
  }
  // Reads all again if the batch had changed anything.
  Status BatchUndone(sqlite3* db);

 private:
  Status Load(sqlite3* db);
  Status LoadStatements(sqlite3* db);
  void Index();
  Status WriteTx(const PreparedTx& tx);
  Status ForgetOldest();

  std::map<std::string, PreparedTx> txs_;
  std::set<std::pair<uint64_t, std::string>> deadlines_;  // of the prepared
  std::map<uint64_t, std::set<std::string>>
      finished_;  // by number; several may expire in one entry
  size_t finished_count_ = 0;
  Shares shares_{kPreparedBytesMax};
  bool changed_ = false;

  InternalStatement write_tx_;
  InternalStatement remove_tx_;
  InternalStatement write_statement_;
  InternalStatement remove_statements_;
};

// Reads the state of a transaction from an open database by this one statement, ?1 being the id:
// columns state, statements, number, deadline.
extern const char* const kTransactionInfoSql;
TxInfo MakeTxInfo(int64_t state, int64_t statements, int64_t number, int64_t deadline_lease_ms);

}  // namespace cairn::state_machine
