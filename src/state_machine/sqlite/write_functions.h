// The SQL functions of the writer's connection. Each returns the same on every node, or is refused.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <string_view>
#include <utility>

#include "base/rng.h"
#include "base/status.h"
#include "state_machine/sqlite/work_budget.h"

namespace cairn::state_machine {

// The state behind random(), changes(), total_changes() and last_insert_rowid(). It is reset before
// each command, so no answer depends on what this connection did before, or on when this node last
// started.
//
// The last three functions report on earlier statements of the same command. Without such a
// statement, a call in a trigger, a view or a DEFAULT would silently return 0. So a 0 that no
// statement is known to have set is refused. Within a trigger SQLite answers for the statements of
// the trigger, and does not show whether a 0 comes from them. The text of the trigger does
// (TriggerCallsChangesFirst).
class FunctionState {
 public:
  explicit FunctionState(WorkBudget* budget) : budget_(budget) {}
  // `changes_are_old`: sqlite3_changes64() still returns the number of an earlier command.
  void Reset(sqlite3* db, uint64_t seed, bool changes_are_old) {
    rng_ = Rng(seed);
    total_changes_base_ = sqlite3_total_changes64(db);
    changes_are_old_ = changes_are_old;
    changes_in_doubt_ = false;
  }
  // `changes_known`: wherever the new statement calls changes(), a statement has set the answer.
  // `rowid_known`: an earlier statement of the command has inserted a row.
  void BeginStatement(bool changes_known, bool rowid_known) {
    changes_known_ = changes_known;
    rowid_known_ = rowid_known;
    refusal_ = OkStatus();
  }
  // The error of a function that had no answer in the running statement. OK: there was none.
  const Status& refusal() const { return refusal_; }
  void Refuse(Status refusal) { refusal_ = std::move(refusal); }

  bool changes_known() const { return changes_known_; }
  bool rowid_known() const { return rowid_known_; }
  // Zero while the command has changed nothing. After a change by a trigger SQLite returns the
  // number of the trigger's last statement within the trigger, and the old number behind it.
  // Nothing shows which of the two applies, so the answer is in doubt.
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
  // The running statement.
  bool changes_known_ = false;
  bool rowid_known_ = false;
  Status refusal_;
};

// The errors of a statement that may not call changes() or total_changes(), or last_insert_rowid().
Status NoChangesBefore();
Status NoRowidBefore();

// True if every node computes the same result from the same arguments. Other functions are refused:
// exp(), pow(), sin() and others of the C library differ in the last bits between machines, bm25()
// uses log(), and sqlite_version() and the like depend on the node.
bool IsReplicableFunction(std::string_view name);

// Overrides random(), randomblob(), changes(), total_changes() and last_insert_rowid(), and makes
// every function that is not replicable fail when it is called. The authorizer refuses such
// functions first, but SQLite does not ask it about the expression of a DEFAULT. `state` must
// outlive the connection.
Status InstallWriteFunctions(sqlite3* db, FunctionState* state);

}  // namespace cairn::state_machine
