// The SQL of vectors (src/vectors) in the connections of the database.
#pragma once

#include <sqlite3.h>

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "base/status.h"
#include "state_machine/sqlite/work_budget.h"
#include "vectors/index_search.h"

namespace cairn::state_machine {

// Charges the work to `budget`, which must outlive the connection.
Status AddVectorsToWriter(sqlite3* db, WorkBudget* budget);
// vectors::FindCandidates for a view at an index.
using CandidatesAt = std::function<std::optional<std::vector<int64_t>>(
    LogIndex applied, const vectors::IndexDefinition& index, const vectors::View& query, size_t k)>;
// The same for the view at *applied, which is read at each call. Empty if `find` is; both must outlive
// the result.
vectors::FindCandidates AtView(const CandidatesAt& find, const LogIndex* applied);

// `candidates`: see vectors/top_k.h.
Status AddVectorsToReader(sqlite3* db, const vectors::FindCandidates& candidates);
Status RemoveVectors(sqlite3* db);

// The table of the nearest neighbors. It reads the table of the index that its argument names.
inline constexpr char kTopKTable[] = "vector_top_k";
// Adds the names (in lower case) of all tables that have a vector index.
Status AddTablesOfVectorIndexes(sqlite3* db, std::set<std::string>* names);

// The text of a CREATE INDEX on vectors, with the type of the column in it; any other text as it is
// (vectors/index_definition.h). INVALID_ARGUMENT if there can be no such index.
Result<std::string> WithVectorColumn(sqlite3* db, std::string_view sql);

}  // namespace cairn::state_machine
