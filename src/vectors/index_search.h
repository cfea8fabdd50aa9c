// Search in a vector index: exactly among all its rows, or among some that are likely to be near.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/sqlite_api.h"
#include "vectors/argument.h"
#include "vectors/index_definition.h"
#include "vectors/work_gate.h"

namespace cairn::vectors {

// The bound on k, and on the rows that all open searches of a connection hold together, in memory.
inline constexpr int64_t kRowsMax = 1'000'000;

struct Neighbor {
  // Infinite if the vectors have none: one of them is all zeros.
  double distance = 0;
  int64_t rowid = 0;
  bool operator<(const Neighbor& other) const {
    return distance != other.distance ? distance < other.distance : rowid < other.rowid;
  }
};

// The result of SQLite that a search ends with. Unless it is SQLITE_OK, `message` may say more.
struct SearchEnd {
  int rc = SQLITE_OK;
  std::string message;
};

// Finds the index `name` in the main schema. Unless the result is SQLITE_OK there is none.
//
// The price counts the rows of the schema without those of the engine's own tables: such a table may
// be younger on one node than on another.
SearchEnd FindIndex(sqlite3* db, std::string_view name, const WorkGate& gate,
                    const Uncounted& uncounted, IndexDefinition* index);

// INVALID_ARGUMENT if no search can tell the rows of the table apart: it is WITHOUT ROWID, or its
// columns have all names of a rowid.
Status CheckTable(sqlite3* db, const std::string& table);

// A query for the rows of the index: the rowid and the vector of each, in no order; or only for the
// row with the rowid that is bound as ?1. `rowid` is what NameOfRowid has given.
std::string SelectRows(const IndexDefinition& index, const char* rowid, bool one_row);
// A name for the rowid that is none of the columns of the table (in lower case); null if there is
// none.
const char* NameOfRowid(const std::vector<std::string>& columns);

// The query of a search, as a vector of the index's kind.
Result<std::string> EncodeQuery(sqlite3_value* value, const ColumnType& column);

// How many rows a search gives, and how many it may hold.
struct RowBounds {
  size_t k = 0;
  size_t held_max = 0;
};
// The `k` rows of the index whose vectors are nearest to `query`, nearest first. Fails if these are
// more than `held_max`.
SearchEnd SearchAll(sqlite3* db, const IndexDefinition& index, const View& query, RowBounds bounds,
                    const WorkGate& gate, std::vector<Neighbor>* neighbors);

// Rowids that are likely to be those of the `k` nearest rows, and of some more; each once. Some may
// have no row. None if nobody knows: the search then looks at all rows. May be empty.
using FindCandidates = std::function<std::optional<std::vector<int64_t>>(
    const IndexDefinition& index, const View& query, size_t k)>;
// The same as SearchAll, of the rows with these rowids.
SearchEnd SearchAmong(sqlite3* db, const IndexDefinition& index, const View& query,
                      RowBounds bounds, const std::vector<int64_t>& rowids,
                      std::vector<Neighbor>* neighbors);

}  // namespace cairn::vectors
