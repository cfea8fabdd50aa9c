#include "state_machine/sqlite/vector_sql.h"

#include "vectors/functions.h"

namespace cairn::state_machine {

Status AddVectorsToWriter(sqlite3* db, WorkBudget* budget) {
  return vectors::AddFunctions(
      db, [budget](uint64_t steps) { return !budget->running() || budget->Charge(steps); });
}

Status AddVectorsToReader(sqlite3* db) { return vectors::AddFunctions(db, {}); }

Status RemoveVectors(sqlite3* db) { return vectors::RemoveFunctions(db); }

}  // namespace cairn::state_machine
