// Tasks, continued: transfers in one batch.
#include <utility>

#include "sim/tasks.h"

namespace cairn::sim {

using history::EventType;

// Half of the batches cannot meet what their first statement expects: the money that it takes must come
// back, because the second one does not run.
Task Tasks::DrawBatch(Task task, int64_t from, int64_t to, int64_t amount) {
  const std::string sql = "UPDATE accounts SET balance = balance + ?2 WHERE id = ?1";
  const bool misses = Chance(0.5);
  using Kind = state_machine::RowExpectation::Kind;
  state_machine::Execute batch;
  batch.statements = {{sql, {from, -amount}, {}}, {sql, {to, amount}, {}}};
  batch.expect = {{Kind::kAtLeast, misses ? 2U : 1U}, {Kind::kExactly, 1}};
  task.first.write = std::move(batch);
  task.first.may_fail = true;
  task.first.may_miss = misses;
  if (!misses) return task;
  task.next = [asked = task.asked](const Answer& a) -> std::variant<Request, End> {
    if (a.type == EventType::kOk) return End{a.type, asked, "a batch that misses was applied"};
    return End{EventType::kFail, asked, ""};  // whatever became of it, it moves nothing
  };
  return task;
}

}  // namespace cairn::sim
