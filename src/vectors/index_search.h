// Exact search in a vector index.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "vectors/argument.h"
#include "vectors/index_definition.h"
#include "vectors/sqlite_api.h"
#include "vectors/work_gate.h"

namespace cairn::vectors {

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
SearchEnd FindIndex(sqlite3* db, std::string_view name, IndexDefinition* index);

// The query of a search, as a vector of the index's kind.
Result<std::string> EncodeQuery(sqlite3_value* value, const ColumnType& column);

// The `k` rows of the index whose vectors are nearest to `query`, nearest first.
SearchEnd SearchAll(sqlite3* db, const IndexDefinition& index, const View& query, size_t k,
                    const WorkGate& gate, std::vector<Neighbor>* neighbors);

}  // namespace cairn::vectors
