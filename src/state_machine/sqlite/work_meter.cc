#include "state_machine/sqlite/work_meter.h"

namespace cairn::state_machine {

Status WorkMeter::Install(sqlite3* db) {
  db_ = db;
  sqlite3_progress_handler(db, kStepsPerLook, &OnProgress, this);
  return depth_.Measure(db);
}

void WorkMeter::Begin(const Program& program) {
  budget_->BeginStatement(program.stmt.get(), program.touches_virtual, program.price,
                          program.value_bytes_max);
  NarrowLimit();
}

int WorkMeter::Step(const Program& program) {
  const int rc = depth_.Step(program.stmt.get());
  if (rc != SQLITE_ROW) LiftLimit();
  return rc;
}

void WorkMeter::NarrowLimit() {
  sqlite3_limit(db_, SQLITE_LIMIT_LENGTH, budget_->value_bytes_max());
}

void WorkMeter::LiftLimit() { sqlite3_limit(db_, SQLITE_LIMIT_LENGTH, kValueBytesMax); }

int WorkMeter::OnProgress(void* self) {
  auto* const meter = static_cast<WorkMeter*>(self);
  const bool own = meter->depth_.IsOwn(__builtin_frame_address(0));
  if (!meter->budget_->running()) return 0;
  const bool stop = meter->budget_->Look(own);
  meter->NarrowLimit();
  return stop ? 1 : 0;
}

}  // namespace cairn::state_machine
