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
// A Prepare may say its place in the transaction, and a Commit the number of statements. What does
// not fit is FAILED_PRECONDITION; a Prepare that is repeated under its number is OK.
// Rollback of an unknown id is remembered, so that a Prepare that was delayed behind it cannot hold
// tables for a transaction that its coordinator gave up.
//
// What has ended is remembered for request_ttl_ms of the lease clock, like an answered request: a
// Commit that is asked for again, or a question, gets the truth for as long. Ids are counted, from
// the first Prepare on: where there is no room, new ones are refused, and young ones are not
// forgotten. Once one was forgotten, "unknown" may be committed: then the outcome of a Commit is
// unknown, too.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
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
// Of all ids that are known, prepared or ended; a client holds an eighth at most.
inline constexpr uint64_t kTxIdsBytesMaxTotal = 64 << 20;
inline constexpr uint64_t kKnownTxBytes = 256;  // what one counts of that, beside its id

struct PreparedTx {
  std::string id;
  std::string owner;  // the principal of its first Prepare
  TxState state = TxState::kPrepared;
  uint64_t number = 0;  // of the command that made it
  uint64_t deadline_lease_ms = 0;
  // Of the first Prepare; all its statements see them.
  int64_t wall_ms = 0;
  uint64_t seed = 0;
  std::vector<Statement> statements;
  std::set<std::string> reads;
  std::set<std::string> writes;
  bool holds_all = false;  // a statement changes the schema
};

struct EndedTx {
  std::string owner;
  TxState state = TxState::kUnknown;
  uint64_t number = 0;  // of the command that ended it
  uint64_t ended_lease_ms = 0;
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

  // Null if it is not prepared.
  const PreparedTx* FindPrepared(const std::string& id) const;
  // Null if it has not ended, or is not remembered.
  const EndedTx* FindEnded(const std::string& id) const;
  bool any_prepared() const { return !deadlines_.empty(); }
  uint64_t prepared_bytes() const { return shares_.total(); }
  // Those that ended by commands with a lower number are forgotten; 0: none is. Kept in
  // _cairn_state.
  uint64_t ended_from() const { return ended_from_; }
  // Of the prepared transaction that expires first.
  std::optional<uint64_t> NextDeadlineLeaseMs() const;

  // ABORTED if a prepared transaction holds what the program touches. A prepare (of `tx_id`; empty:
  // an ordinary write) is more careful: its own reads must stay as they are until it commits.
  // In the number of those tables, however many transactions are prepared.
  Status CheckConflicts(const ProgramFacts& facts, const std::string& tx_id) const;

  // RESOURCE_EXHAUSTED, not applied, if there is no room for `bytes` of a transaction of `owner`, of
  // which those that are counted under `tx_id` are part.
  Status CheckRoom(const std::string& owner, const std::string& tx_id, uint64_t bytes);
  // The same of an id that is not known.
  Status CheckRoomForId(const std::string& owner, const std::string& tx_id);

  // At the start of each entry: forgets what is as old as `ttl_ms`, or some of it
  // (kForgottenPerEntryMax), and ends those whose deadline has come. `number`: of the entry's first
  // command.
  Status BeginEntry(uint64_t lease_ms, uint64_t ttl_ms, uint64_t number);
  // Puts `tx` in the place of what is known under its id; writes what is new.
  Status Stage(PreparedTx tx);
  // `owner`: who asks, if the id is not known.
  Status Finish(const std::string& id, TxState state, uint64_t number, const std::string& owner);

  void BatchCommitted();
  // The file is as it was before the batch.
  void BatchUndone();

 private:
  // One step of the batch, to be taken back from the last one on.
  struct Step {
    enum class Kind : uint8_t { kStage, kFinish, kForget };
    Kind kind;
    std::string id;
    std::optional<PreparedTx> prepared;  // kStage, kFinish: as it was; none: the id was not known
    EndedTx ended;                       // kForget
  };
  using Ended = std::unordered_map<std::string, EndedTx>;
  using Deadlines = std::set<std::pair<uint64_t, std::string>>;  // and the ids, the first one first
  // Who holds a table.
  struct Holders {
    Deadlines readers;
    Deadlines writers;
  };

  Status Load(sqlite3* db);
  Status LoadStatements(sqlite3* db);
  const PreparedTx* FirstBut(const Deadlines& deadlines, const std::string& tx_id) const;
  void Hold(const PreparedTx& tx, bool holds);
  void AddPrepared(PreparedTx tx);
  PreparedTx TakePrepared(const std::string& id);
  void AddEnded(const std::string& id, EndedTx tx, bool newest);
  EndedTx TakeEnded(const std::string& id, bool newest);
  void CountId(const std::string& owner, const std::string& id, bool more);
  Status WritePrepared(const PreparedTx& tx);
  Status WriteEnded(const std::string& id, const EndedTx& tx, uint64_t deadline_lease_ms,
                    uint64_t statements);
  Status ForgetOldest();
  void Undo(Step* step);

  std::map<std::string, PreparedTx> prepared_;
  Deadlines deadlines_;  // of the prepared
  Deadlines holding_all_;
  std::unordered_map<std::string, Holders> holders_;  // by tables
  Ended ended_;
  std::deque<const std::string*> by_end_;  // keys of ended_, the oldest first
  Shares shares_{kPreparedBytesMax};
  Shares ids_{kTxIdsBytesMaxTotal};
  uint64_t ended_from_ = 0;
  uint64_t lease_ms_ = 0;  // of the current entry

  // ---- Of the current batch
  std::vector<Step> steps_;
  uint64_t saved_ended_from_ = 0;

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
