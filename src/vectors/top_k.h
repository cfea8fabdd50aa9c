// The k vectors of an index that are nearest to one:
//
//     SELECT id FROM vector_top_k('index', vector32('[1, 2, 3]'), 10)
//
// A table-valued function, whose rows are in the order of their distances, then of their rowids.
// `id` is the rowid of the row in the index's table. The search reads every vector of the index and is
// exact, unless somebody knows candidates: it then reads those and ranks them exactly.
#pragma once

#include "base/sqlite_api.h"
#include "base/status.h"
#include "vectors/index_search.h"
#include "vectors/work_gate.h"

namespace cairn::vectors {

// Adds the module to a connection. No statement may be running.
// `candidates` may be empty, and is so on a connection that writes: what nodes know differs.
Status AddTopK(sqlite3* db, const WorkGate& gate, const Uncounted& uncounted,
               const FindCandidates& candidates);
// SQLite knows no such table afterwards.
Status RemoveTopK(sqlite3* db);

}  // namespace cairn::vectors
