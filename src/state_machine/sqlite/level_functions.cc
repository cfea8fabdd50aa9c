#include "state_machine/sqlite/level_functions.h"

#include "state_machine/feature_level.h"
#include "state_machine/sqlite/vector_sql.h"

namespace cairn::state_machine {
namespace {

struct Addition {
  uint64_t level = 0;
  Status (*add)(sqlite3* db, WorkBudget* budget) = nullptr;
  Status (*remove)(sqlite3* db) = nullptr;
};

constexpr Addition kAdditions[] = {
    {kLevelDataPlatform, &AddVectorsToWriter, &RemoveVectors},
};

}  // namespace

Status LevelFunctions::SetLevel(sqlite3* db, uint64_t level) {
  for (const Addition& each : kAdditions) {
    const bool there = level_ >= each.level;
    const bool wanted = level >= each.level;
    if (there == wanted) continue;
    RETURN_IF_ERROR(wanted ? each.add(db, budget_) : each.remove(db));
  }
  level_ = level;
  return OkStatus();
}

}  // namespace cairn::state_machine
