// The SQL of vectors (src/vectors) in the connections of the database.
#pragma once

#include <sqlite3.h>

#include <set>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/status.h"
#include "state_machine/sqlite/work_budget.h"

namespace cairn::state_machine {

// Charges the work to `budget`, which must outlive the connection.
Status AddVectorsToWriter(sqlite3* db, WorkBudget* budget);
Status AddVectorsToReader(sqlite3* db);
Status RemoveVectors(sqlite3* db);

// The table of the nearest neighbors. It reads the table of the index that its argument names.
inline constexpr char kTopKTable[] = "vector_top_k";
// Adds the names (in lower case) of all tables that have a vector index.
Status AddTablesOfVectorIndexes(sqlite3* db, std::set<std::string>* names);

// The text of a CREATE INDEX on vectors, with the type of the column in it; any other text as it is
// (vectors/index_definition.h). INVALID_ARGUMENT if there can be no such index.
Result<std::string> WithVectorColumn(sqlite3* db, std::string_view sql);

}  // namespace cairn::state_machine
