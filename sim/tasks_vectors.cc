// Tasks on a table with a vector index. They judge themselves: a search gives what all rows in the order
// of their distances give, no vector has changed, and a row whose write was acknowledged is there. The
// digests judge the rows.
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sim/tasks.h"

namespace cairn::sim {
namespace {

constexpr uint64_t kIds = 200;
constexpr size_t kRowsRead = 20;
// Each vector is made of the number of its row and a draw that it holds as well.
constexpr char kVector[] = "vector32('[' || ?1 || ',' || ?2 || ',' || (?1 * ?2 % 97) || ']')";

state_machine::Statement Nearest(int64_t x, int64_t y, int64_t k) {
  return {
      "SELECT (SELECT group_concat(id) FROM vector_top_k('vectors_near', vector32('[' || ?1 || ',' "
      "|| "
      "?2 || ',7]'), ?3)) IS NOT (SELECT group_concat(id) FROM (SELECT id FROM vectors ORDER BY "
      "vector_distance_l2(v, vector32('[' || ?1 || ',' || ?2 || ',7]')), id LIMIT ?3))",
      {x, y, k},
      {}};
}

}  // namespace

Task Tasks::CreateVectors() {
  Task task;
  task.f = "create vectors";
  task.first.write = state_machine::Execute{
      {{"CREATE TABLE IF NOT EXISTS vectors(id INTEGER PRIMARY KEY, v F32_BLOB(3), draw INTEGER)",
        {},
        {}},
       {"CREATE INDEX IF NOT EXISTS vectors_near ON vectors(libsql_vector_idx(v, 'metric=l2'))",
        {},
        {}}}};
  task.first.may_lack_level = true;
  task.first.may_fail = true;
  task.next = [this](const Answer& a) {
    has_vectors_ = has_vectors_ || a.type == history::EventType::kOk;
    return End{a.type, {}, ""};
  };
  return task;
}

Task Tasks::ReadVectors() {
  Task task;
  task.f = "vectors";
  for (const int64_t k : {1, 5, 300}) {
    task.first.queries.push_back(
        Nearest(static_cast<int64_t>(rng_.Below(kIds)), static_cast<int64_t>(rng_.Below(97)), k));
  }
  task.first.queries.push_back(
      {"SELECT count(*) FROM vectors WHERE v IS NOT vector32('[' || id || ',' || draw || ',' || "
       "(id * "
       "draw % 97) || ']')",
       {},
       {}});
  const size_t searches = task.first.queries.size();
  std::vector<std::pair<int64_t, uint64_t>> asked;  // rows, and their writes until now
  for (const auto& [id, known] : vectors_) {
    if (!known.draw.has_value() || asked.size() == kRowsRead || rng_.Below(4) == 0) continue;
    task.first.queries.push_back(
        {"SELECT count(*) = 0 FROM vectors WHERE id = ?1 AND draw = ?2", {id, *known.draw}, {}});
    asked.emplace_back(id, known.writes);
  }
  task.next = [this, searches, asked](const Answer& a) {
    if (a.type != history::EventType::kOk) return End{a.type, {}, ""};
    for (size_t i = 0; i < a.result->statements.size(); ++i) {
      const state_machine::StatementResult& result = a.result->statements[i];
      if (result.rows.at(0).at(0) == state_machine::Value(int64_t{0})) continue;
      if (i < searches)
        return End{a.type, {}, "a search of vectors does not give the nearest rows"};
      // It may have been written while the read was under way.
      const auto& [id, writes] = asked[i - searches];
      if (vectors_[id].writes != writes) continue;
      return End{a.type, {}, "a vector whose write was acknowledged is not there"};
    }
    return End{a.type, {}, ""};
  };
  return task;
}

// The rows `first` to `last` get this draw, or go.
Task Tasks::WriteVectors(int64_t first, int64_t last, std::optional<int64_t> draw,
                         state_machine::Statement statement) {
  std::map<int64_t, uint64_t> alone;  // rows with no other write under way, and their writes
  for (int64_t id = first; id <= last; ++id) {
    KnownVector& known = vectors_[id];
    ++known.writes;
    known.draw.reset();
    if (known.open++ == 0) alone[id] = known.writes;
  }
  Task task;
  task.f = "vectors";
  task.first.write = state_machine::Execute{{std::move(statement)}};
  task.first.may_fail = true;
  task.next = [this, first, last, draw, alone](const Answer& a) {
    for (int64_t id = first; id <= last; ++id) {
      KnownVector& known = vectors_[id];
      --known.open;
      known.lost = known.lost || a.type == history::EventType::kInfo;
      const auto only = alone.find(id);
      const bool is_only = only != alone.end() && only->second == known.writes && !known.lost;
      if (is_only && a.type == history::EventType::kOk && !options_.is_restored) known.draw = draw;
    }
    return End{a.type, {}, ""};
  };
  return task;
}

Task Tasks::DrawVectors() {
  if (!has_vectors_) return CreateVectors();
  constexpr double kReads = 0.2;
  if (Chance(kReads)) return ReadVectors();
  const auto id = static_cast<int64_t>(rng_.Below(kIds));
  const auto draw = static_cast<int64_t>(rng_.Below(97));
  if (rng_.Below(4) == 0) {
    return WriteVectors(id, id + 3, std::nullopt,
                        {"DELETE FROM vectors WHERE id BETWEEN ?1 AND ?1 + 3", {id}, {}});
  }
  return WriteVectors(
      id, id, draw,
      {"INSERT INTO vectors VALUES(?1, " + std::string(kVector) +
           ", ?2) ON CONFLICT(id) DO UPDATE SET v = excluded.v, draw = excluded.draw",
       {id, draw},
       {}});
}

}  // namespace cairn::sim
