#include "state_machine/sqlite/work_budget.h"

#include <algorithm>

namespace cairn::state_machine {

void WorkBudget::BeginCommand(uint64_t steps_max) {
  steps_max_ = steps_max;
  steps_ = 0;
  machine_steps_ = 0;
  bytes_beside_virtual_ = 0;
  exhausted_ = false;
  stmt_ = nullptr;
}

void WorkBudget::BeginStatement(sqlite3_stmt* stmt, bool touches_virtual, uint64_t price,
                                int value_bytes_max, bool keeps_rows, int steps_per_look) {
  steps_per_look_ = static_cast<uint64_t>(steps_per_look);
  keeps_rows_ = keeps_rows;
  statement_value_bytes_max_ = value_bytes_max;
  // sqlite3_reset keeps the counts, so without this reset a warm statement would be stopped
  // earlier.
  sqlite3_stmt_status(stmt, SQLITE_STMTSTATUS_VM_STEP, /*resetFlg=*/1);
  price_ = price;
  stmt_ = stmt;
  touches_virtual_ = touches_virtual;
  looks_ = 0;
  rows_ = 0;
}

void WorkBudget::EndStatement() {
  const uint64_t steps = StepsOfStatement();
  steps_ += steps;
  machine_steps_ += steps;
  looks_ = 0;
  stmt_ = nullptr;
  Judge(steps_);
}

bool WorkBudget::Charge(uint64_t steps) {
  steps_ += steps;
  // Rows are left out: within a statement on virtual tables, rows are reported at other moments on
  // other nodes.
  Judge(touches_virtual_ || stmt_ == nullptr ? steps_ : steps_ + Looked());
  return !exhausted_;
}

bool WorkBudget::Look(bool own) {
  if (stmt_ == nullptr) return false;
  // Statements that SQLite itself runs within a statement are work too, the same on every node.
  if (own || !touches_virtual_) ++looks_;
  Judge(steps_ + Looked() + StepsOfRows());
  return exhausted_;
}

int WorkBudget::value_bytes_max() const {
  if (steps_max_ == 0) return statement_value_bytes_max_;
  // With virtual tables the number of looks is not the same on every node.
  const uint64_t done = machine_steps_ + (touches_virtual_ ? 0 : Looked());
  uint64_t per_step = kStepBytesPerStep;
  int always = kValueBytesAlways;
  if (keeps_rows_) {
    per_step = kept_rows_are_dear_ ? kKeptBytesPerStepNow : kKeptBytesPerStep;
    always = kept_rows_are_dear_ ? kKeptBytesAlwaysNow : kKeptBytesAlways;
  }
  const uint64_t bytes = steps_max_ * per_step / std::max<uint64_t>(done, 1);
  const auto by_steps = static_cast<int>(std::clamp<uint64_t>(bytes, always, kValueBytesMax));
  return std::min(by_steps, statement_value_bytes_max_);
}

uint64_t WorkBudget::StepsOfStatement() const {
  // SQLite's count has 32 bits, and the looks tell the rest. SQLite may run statements within this
  // one (to read the schema, to check a new column). They cause looks, but are not in the count.
  const uint64_t looked = looks_ * steps_per_look_;
  const int counted = sqlite3_stmt_status(stmt_, SQLITE_STMTSTATUS_VM_STEP, 0);
  const auto more =
      static_cast<int32_t>(static_cast<uint32_t>(counted) - static_cast<uint32_t>(looked));
  return (looked + static_cast<uint64_t>(std::max(more, 0))) * price_ + StepsOfRows();
}

}  // namespace cairn::state_machine
