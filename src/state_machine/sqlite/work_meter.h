// WorkMeter: runs the statements of clients under a WorkBudget.
//
// SQLite's progress handler asks the meter every kStepsPerLook steps. The meter lets the budget look,
// stops the statement when the budget is exhausted, and narrows SQLite's limit on the length of a
// value as the command does more work.
#pragma once

#include <sqlite3.h>

#include "base/status.h"
#include "state_machine/sqlite/program_cache.h"
#include "state_machine/sqlite/step_depth.h"
#include "state_machine/sqlite/work_budget.h"

namespace cairn::state_machine {

// The engine's; its thread only. Must outlive the connection, as `budget` must.
class WorkMeter {
 public:
  explicit WorkMeter(WorkBudget* budget) : budget_(budget) {}

  // Once.
  Status Install(sqlite3* db);

  // From here to End the work of `program` counts. Not to be called if the budget is exhausted.
  // `given_bytes`: of the longest parameter or literal, if the program computes with them in a loop.
  void Begin(const Program& program, size_t given_bytes);
  // sqlite3_step(). Once it gives something else than a row, the limit on values is back.
  int Step(const Program& program);
  // The caller takes no more rows: the limit on values is back.
  void LiftLimit();
  void End() { budget_->EndStatement(); }

 private:
  static int OnProgress(void* self);
  void NarrowLimit();

  WorkBudget* const budget_;
  StepDepth depth_;
  sqlite3* db_ = nullptr;
};

}  // namespace cairn::state_machine
