// Transactions: prepared transactions of two-phase commits, and the tables that they hold.
//
// Apply cannot wait, because the Commit that would end the wait stands later in the log. So Prepare
// runs its statements, undoes them, and holds every table that they read or write; a command that
// conflicts fails at once with ABORTED. Between Prepare and Commit nothing can change what the
// statements see, and Commit runs them with the time and random seed of Prepare. So Commit cannot
// fail for reasons of SQL.
//
// Answers by state of the id (every step may be repeated):
//              unknown              prepared      committed            rolled back / expired
//   Prepare    staged               staged too    FAILED_PRECONDITION  FAILED_PRECONDITION
//   Commit     NOT_FOUND            committed     OK                   FAILED_PRECONDITION
//   Rollback   OK, and remembered   rolled back   FAILED_PRECONDITION  OK
// A Prepare may give its place in the transaction, and a Commit the number of statements. A place
// or number that does not fit is FAILED_PRECONDITION; a Prepare that is repeated under its number
// is OK. Rollback of an unknown id is remembered. Otherwise a Prepare that arrives after the
// Rollback would hold tables for a transaction that its coordinator has given up.
//
// An ended transaction is remembered for request_ttl_ms of the lease clock, like an answered
// request. For that time a repeated Commit or a question gets the truth. Ids count against a bound
// from the first Prepare on. If there is no room, new ids are refused; young ids are never
// forgotten to make room. After an id was forgotten, an unknown id may be that of a committed
// transaction, so the outcome of its Commit is unknown.
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
// All prepared transactions together, in memory. One client holds at most an eighth, so an eighth
// is also the most that one transaction takes.
inline constexpr uint64_t kPreparedBytesMax = 64 << 20;
inline constexpr uint64_t kTxBytes = 64 << 10;  // counted for a transaction, beside its contents
inline constexpr size_t kStatementsPerTxMax = 1000;
// All known ids, prepared or ended. One client holds at most an eighth.
inline constexpr uint64_t kTxIdsBytesMaxTotal = 64 << 20;
inline constexpr uint64_t kKnownTxBytes = 256;  // counted for an id, beside its text

struct PreparedTx {
  std::string id;
  std::string owner;  // the principal of the first Prepare
  TxState state = TxState::kPrepared;
  uint64_t number = 0;  // of the command that created it
  uint64_t deadline_lease_ms = 0;
  // Of the first Prepare. All statements of the transaction see them.
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

// The part of kPreparedBytesMax that a prepared transaction takes.
uint64_t BytesOf(const PreparedTx& tx);
// The part that the statement adds, apart from the names of tables.
uint64_t BytesOf(const Statement& statement);

// Used by the apply thread. Changes are written at once, in the batch's transaction.
class Transactions {
 public:
  static const char* const kSchema;

  Status Open(sqlite3* db);
  void Close();

  // Null if the id is not prepared.
  const PreparedTx* FindPrepared(const std::string& id) const;
  // Null if the transaction has not ended, or is no longer remembered.
  const EndedTx* FindEnded(const std::string& id) const;
  bool any_prepared() const { return !deadlines_.empty(); }
  size_t prepared() const { return prepared_.size(); }
  uint64_t prepared_bytes() const { return shares_.total(); }
  // Transactions that ended by commands with a lower number may be forgotten. 0: none is forgotten.
  // Kept in _cairn_state.
  uint64_t ended_from() const { return ended_from_; }
  // The deadline of the prepared transaction that expires first.
  std::optional<uint64_t> NextDeadlineLeaseMs() const;

  // ABORTED if a prepared transaction holds a table that the program touches. `tx_id` is the
  // transaction of a Prepare, or empty for an ordinary write. A Prepare also conflicts over the
  // tables that it reads, because they must not change before its Commit. The cost depends on the
  // number of tables alone, however many transactions are prepared.
  Status CheckConflicts(const ProgramFacts& facts, const std::string& tx_id) const;

  // RESOURCE_EXHAUSTED, not applied, if there is no room for a transaction of `owner` that takes
  // `bytes`. The bytes that are already counted under `tx_id` are part of `bytes`.
  Status CheckRoom(const std::string& owner, const std::string& tx_id, uint64_t bytes);
  // The same for an id that is not known yet.
  Status CheckRoomForId(const std::string& owner, const std::string& tx_id);

  // Called at the start of each entry: forgets transactions that ended `ttl_ms` ago, as many as
  // kForgottenPerEntryMax allows, and ends those whose deadline has come. `number`: of the entry's
  // first command.
  Status BeginEntry(uint64_t lease_ms, uint64_t ttl_ms, uint64_t number);
  // Replaces what is known under the id of `tx`, and writes the new statement.
  Status Stage(PreparedTx tx);
  // `owner`: the client that asks, if the id is not known.
  Status Finish(const std::string& id, TxState state, uint64_t number, const std::string& owner);

  // Rolls back all that are prepared.
  Status RollBackAll(uint64_t number) {
    while (!prepared_.empty()) {
      const std::string id = prepared_.begin()->first;
      RETURN_IF_ERROR(Finish(id, TxState::kRolledBack, number, ""));
    }
    return OkStatus();
  }

  void BatchCommitted();
  // Called when the file is as it was before the batch.
  void BatchUndone();

 private:
  // One step of the batch. BatchUndone takes the steps back, the last one first.
  struct Step {
    enum class Kind : uint8_t { kStage, kFinish, kForget };
    Kind kind;
    std::string id;
    std::optional<PreparedTx> prepared;  // kStage, kFinish: the value before; none: not known
    EndedTx ended;                       // kForget
  };
  using Ended = std::unordered_map<std::string, EndedTx>;
  using Deadlines = std::set<std::pair<uint64_t, std::string>>;  // with the ids; earliest first
  // The transactions that hold a table.
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
  std::unordered_map<std::string, Holders> holders_;  // by table
  Ended ended_;
  std::deque<const std::string*> by_end_;  // keys of ended_, oldest first
  Shares shares_{kPreparedBytesMax};
  Shares ids_{kTxIdsBytesMaxTotal};
  uint64_t ended_from_ = 0;
  uint64_t lease_ms_ = 0;  // of the current entry

  // ---- The current batch
  std::vector<Step> steps_;
  uint64_t saved_ended_from_ = 0;

  InternalStatement write_tx_;
  InternalStatement remove_tx_;
  InternalStatement write_statement_;
  InternalStatement remove_statements_;
};

// The statement that reads the state of a transaction from an open database. ?1 is the id; the
// columns are state, statements, number, deadline, owner.
extern const char* const kTransactionInfoSql;
TxInfo MakeTxInfo(int64_t state, int64_t statements, int64_t number, int64_t deadline_lease_ms);

}  // namespace cairn::state_machine
