// WorkMeter: runs the statements of clients under a WorkBudget.
//
// SQLite's progress handler calls the meter every kStepsPerLook steps. The meter updates the
// budget, stops the statement when the budget is exhausted, and lowers SQLite's limit on the length
// of a value as the command does more work.
#pragma once

#include <sqlite3.h>

#include "base/status.h"
#include "state_machine/sqlite/program_cache.h"
#include "state_machine/sqlite/step_depth.h"
#include "state_machine/sqlite/work_budget.h"

namespace cairn::state_machine {

// Owned by the engine, and used on its thread only. The meter and `budget` must outlive the
// connection.
class WorkMeter {
 public:
  explicit WorkMeter(WorkBudget* budget) : budget_(budget) {}

  // Called once.
  Status Install(sqlite3* db);

  // Counts the work of `program` until End. Not called if the budget is exhausted. `given_bytes`:
  // the size of the longest parameter or literal, if the program computes with it in a loop.
  // `search_price`: the least price of a step, if the program searches indexes in a loop.
  void Begin(const Program& program, size_t given_bytes, uint64_t search_price);
  // True from the moment on at which a blob literal of the program is longer than a value may be.
  // SQLite makes NULL of such a literal, and no error, so the statement must fail.
  bool literal_too_long() const { return literal_too_long_; }
  // Calls sqlite3_step(). Restores the limit on values unless the result is a row.
  int Step(const Program& program);
  // Restores the limit on values, because the caller takes no more rows.
  void LiftLimit();
  void End();

 private:
  static int OnProgress(void* self);
  void LookEvery(int steps);
  void NarrowLimit();

  WorkBudget* const budget_;
  StepDepth depth_;
  sqlite3* db_ = nullptr;
  int steps_per_look_ = 0;
  size_t blob_literal_bytes_ = 0;  // of the running program
  bool literal_too_long_ = false;
};

}  // namespace cairn::state_machine
