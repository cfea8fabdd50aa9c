#include "state_machine/sqlite/step_depth.h"

#include "base/check.h"
#include "state_machine/sqlite/internal_sql.h"
#include "state_machine/sqlite/statement.h"

namespace cairn::state_machine {

Status StepDepth::Measure(sqlite3* db) {
  sqlite3_stmt* raw = nullptr;
  const int rc = sqlite3_prepare_v2(db,
                                    "SELECT max(i) FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL"
                                    " SELECT i + 1 FROM n LIMIT 2000) SELECT i FROM n)",
                                    -1, &raw, nullptr);
  const StatementPtr stmt(raw);
  if (rc != SQLITE_OK) return SqliteTrouble(db, rc, "measure the depth of a step");
  if (const int stepped = Step(raw); stepped != SQLITE_ROW) {
    return SqliteTrouble(db, stepped, "measure the depth of a step");
  }
  CHECK(own_ != 0) << "the progress handler was not called";
  return OkStatus();
}

// noinline: the function has a frame of its own, the same for all callers.
[[gnu::noinline]] int StepDepth::Step(sqlite3_stmt* stmt) {
  base_ = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
  const int rc = sqlite3_step(stmt);
  base_ = 0;
  return rc;
}

bool StepDepth::IsOwn(const void* frame) {
  if (base_ == 0) return false;
  const uintptr_t depth = base_ - reinterpret_cast<uintptr_t>(frame);
  if (own_ == 0) own_ = depth;
  // An inner statement is about twice as deep, or deeper.
  return depth < own_ + own_ / 2;
}

}  // namespace cairn::state_machine
