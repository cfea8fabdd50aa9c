// The SQL functions of the writer's connection. Each gives the same on every node, or is refused.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <string_view>
#include <utility>

#include "base/rng.h"
#include "base/status.h"
#include "state_machine/sqlite/work_budget.h"

namespace cairn::state_machine {

// What random(), changes(), total_changes() and last_insert_rowid() answer. It is reset before each
// command, so no answer depends on what this connection did before, or on when this node last started.
//
// The last three tell of earlier statements of the same command. Without such a statement, a call in
// a trigger, a view or a DEFAULT would silently give 0. So a 0 that no statement is known to have set
// is refused. Within a trigger SQLite answers for the statements of the trigger; it does not show
// whether a 0 comes from them. The text of the trigger does (TriggerCallsChangesFirst).
class FunctionState {
 public:
  explicit FunctionState(WorkBudget* budget) : budget_(budget) {}
  // `changes_are_old`: sqlite3_changes64() still gives the number of an earlier command.
  void Reset(sqlite3* db, uint64_t seed, bool changes_are_old) {
    rng_ = Rng(seed);
    total_changes_base_ = sqlite3_total_changes64(db);
    changes_are_old_ = changes_are_old;
    changes_in_doubt_ = false;
  }
  // `changes_known`: a statement has set changes() wherever the statement that begins calls it.
  // `rowid_known`: an earlier statement of the command has inserted a row.
  void BeginStatement(bool changes_known, bool rowid_known) {
    changes_known_ = changes_known;
    rowid_known_ = rowid_known;
    refusal_ = OkStatus();
  }
  // A function was called in the statement for which there is no answer, and has failed. OK: none.
  const Status& refusal() const { return refusal_; }
  void Refuse(Status refusal) { refusal_ = std::move(refusal); }

  bool changes_known() const { return changes_known_; }
  bool rowid_known() const { return rowid_known_; }
  // Zero as long as the command has changed nothing. After a change by a trigger SQLite gives,
  // within the trigger, the number of the trigger's last statement, and behind it the old number
  // again. Nothing shows which of the two it is, so the answer is in doubt.
  int64_t Changes(sqlite3* db) {
    if (changes_are_old_ && sqlite3_total_changes64(db) == total_changes_base_) return 0;
    changes_in_doubt_ = changes_in_doubt_ || changes_are_old_;
    return sqlite3_changes64(db);
  }
  bool changes_in_doubt() const { return changes_in_doubt_; }
  Rng& rng() { return rng_; }
  WorkBudget* budget() { return budget_; }
  int64_t total_changes_base() const { return total_changes_base_; }

 private:
  WorkBudget* const budget_;
  Rng rng_{0};
  int64_t total_changes_base_ = 0;
  bool changes_are_old_ = false;
  bool changes_in_doubt_ = false;
  // Of the statement that runs.
  bool changes_known_ = false;
  bool rowid_known_ = false;
  Status refusal_;
};

// Why a statement may not call changes() or total_changes(), or last_insert_rowid().
Status NoChangesBefore();
Status NoRowidBefore();

// Whether every node computes the same from the same arguments. A function that is not known to do
// so is refused: exp(), pow(), sin() and others of the C library differ in the last bits between
// machines, bm25() is made of log(), and sqlite_version() and the like depend on the node.
bool IsReplicableFunction(std::string_view name);

// Overrides random(), randomblob(), changes(), total_changes() and last_insert_rowid(), and makes every function that is
// not replicable fail when it is called. The authorizer refuses such functions first, but SQLite
// does not ask it about the expression of a DEFAULT. `state` must outlive the connection.
Status InstallWriteFunctions(sqlite3* db, FunctionState* state);

}  // namespace cairn::state_machine
