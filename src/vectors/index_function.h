// libsql_vector_idx(column, 'metric=cosine', ..., 'column=f32_blob(3)'): checks each vector that an
// index takes in, and is always NULL (index_definition.h).
#pragma once

#include "base/sqlite_api.h"
#include "base/status.h"
#include "vectors/work_gate.h"

namespace cairn::vectors {

// Adds the function to a connection. No statement may be running.
Status AddIndexFunction(sqlite3* db, const WorkGate& gate);
// SQLite does not know the function afterwards.
Status RemoveIndexFunction(sqlite3* db);

}  // namespace cairn::vectors
