#include "state_machine/sqlite/work_meter.h"

#include <algorithm>

namespace cairn::state_machine {

Status WorkMeter::Install(sqlite3* db) {
  db_ = db;
  LookEvery(kStepsPerLook);
  return depth_.Measure(db);
}

void WorkMeter::LookEvery(int steps) {
  if (steps == steps_per_look_) return;
  steps_per_look_ = steps;
  sqlite3_progress_handler(db_, steps, &OnProgress, this);
}

void WorkMeter::Begin(const Program& program, size_t given_bytes, uint64_t search_price) {
  const HeldValues& held = program.held;
  int value_bytes_max = program.value_bytes_max;
  uint64_t price = 1;
  if (held.made || held.copies) {
    value_bytes_max = std::min(value_bytes_max, kHeldValueBytesMax);
    price = kPriceOfHeldCopies;
  }
  if (held.made) price = kPriceOfHeldValues;
  if (budget_->kept_rows_are_dear()) {
    if (held.rows) price = std::max(price, kPriceOfKeptRows);
    if (held.sorts) price = std::max(price, kPriceOfSortedRows);
  }
  price = std::max<uint64_t>(price, given_bytes / kGivenBytesPerPrice);
  price = std::max(program.price * price, search_price);
  LookEvery(search_price > 0 ? kStepsPerSearchLook : kStepsPerLook);
  budget_->BeginStatement(program.stmt.get(), program.touches_virtual, price, value_bytes_max,
                          held.rows, steps_per_look_);
  blob_literal_bytes_ = program.blob_literal_bytes;
  literal_too_long_ = false;
  NarrowLimit();
}

void WorkMeter::End() {
  budget_->EndStatement();
  LookEvery(kStepsPerLook);
}

int WorkMeter::Step(const Program& program) {
  const int rc = depth_.Step(program.stmt.get());
  if (rc != SQLITE_ROW) LiftLimit();
  return rc;
}

void WorkMeter::NarrowLimit() {
  const int bytes_max = budget_->value_bytes_max();
  sqlite3_limit(db_, SQLITE_LIMIT_LENGTH, bytes_max);
  literal_too_long_ = literal_too_long_ || blob_literal_bytes_ > static_cast<size_t>(bytes_max);
}

void WorkMeter::LiftLimit() { sqlite3_limit(db_, SQLITE_LIMIT_LENGTH, kValueBytesMax); }

int WorkMeter::OnProgress(void* self) {
  auto* const meter = static_cast<WorkMeter*>(self);
  const bool own = meter->depth_.IsOwn(__builtin_frame_address(0));
  if (!meter->budget_->running()) return 0;
  const bool stop = meter->budget_->Look(own);
  meter->NarrowLimit();
  return stop || meter->literal_too_long_ ? 1 : 0;
}

}  // namespace cairn::state_machine
