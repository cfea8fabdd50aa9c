// Tasks that are in no history: they judge themselves, or the digests judge them.
#include <iterator>
#include <vector>

#include "sim/tasks.h"

namespace cairn::sim {

std::optional<Task> Tasks::DrawOther() {
  if (options_.heavy > 0 && Chance(options_.heavy)) return DrawHeavy();
  if (options_.series > 0 && Chance(options_.series)) return DrawSeries();
  if (options_.vectors > 0 && Chance(options_.vectors)) return DrawVectors();
  return std::nullopt;
}

// Work is counted over all statements of a command, and the budget is that of the leader that put
// the command into the log. So some commands fit every budget and some fit none, and the digests
// show whether all nodes judged the others alike.
Task Tasks::DrawHeavy() {
  enum { kFits, kTooMuch, kTooMuchTogether, kEither };
  struct Work {
    int64_t rows;  // of about 16 steps each
    size_t statements;
  };
  constexpr Work kWork[] = {{5'000, 1}, {100'000, 1}, {21'000, 3}, {35'000, 1}};
  static_assert(5'000 * 30 < kStepsMaxLow && 100'000 * 12 > kStepsMaxHigh);
  static_assert(21'000 * 19 < kStepsMaxLow && 3 * 21'000 * 15 > kStepsMaxHigh);
  const uint64_t kind = rng_.Below(std::size(kWork));
  const state_machine::Statement statement{
      "INSERT INTO mixed(a) SELECT count(*) FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL"
      " SELECT i + 1 FROM n WHERE i < ?1) SELECT i FROM n)",
      {kWork[kind].rows},
      {}};
  Task task;
  task.f = "heavy";
  task.first.write = state_machine::Execute{
      std::vector<state_machine::Statement>(kWork[kind].statements, statement)};
  task.first.may_exhaust = kind != kFits;
  task.next = [kind](const Answer& a) {
    const bool wrong =
        a.type == history::EventType::kOk && (kind == kTooMuch || kind == kTooMuchTogether);
    return End{a.type, {}, wrong ? "a command did more work than any budget allows" : ""};
  };
  return task;
}

// For the digests: values that differ between nodes unless Cairn makes them equal.
Task Tasks::DrawMixed() {
  Task task;
  task.f = "mixed";
  task.first.write = state_machine::Execute{
      {{"INSERT INTO mixed(a, b) VALUES(random(), datetime('now'))", {}, {}},
       {"UPDATE mixed SET c = last_insert_rowid() WHERE rowid = last_insert_rowid()", {}, {}},
       {"DELETE FROM mixed WHERE rowid < (SELECT max(rowid) FROM mixed) - 50", {}, {}}}};
  task.next = [](const Answer& a) { return End{a.type, {}, ""}; };
  return task;
}

}  // namespace cairn::sim
