// The SQL of vectors (src/vectors) in the connections of the database.
#pragma once

#include <sqlite3.h>

#include "base/status.h"
#include "state_machine/sqlite/work_budget.h"

namespace cairn::state_machine {

// Charges each call to `budget`, which must outlive the connection.
Status AddVectorsToWriter(sqlite3* db, WorkBudget* budget);
Status AddVectorsToReader(sqlite3* db);
Status RemoveVectors(sqlite3* db);

}  // namespace cairn::state_machine
