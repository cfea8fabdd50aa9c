// The SQL functions of vectors, with the names and meanings of libSQL:
//
//     vector, vector32, vector64, vector16, vectorb16, vector8, vector1bit   (text or blob) -> blob
//     vector_extract                                                        (text or blob) -> text
//     vector_distance_cos, vector_distance_l2                               (two of them) -> real
//
// NULL for NULL. (docs/vectors.md)
#pragma once

#include "base/sqlite_api.h"
#include "base/status.h"
#include "vectors/work_gate.h"

namespace cairn::vectors {

// Adds the functions to a connection. No statement may be running.
Status AddFunctions(sqlite3* db, const WorkGate& gate);
// SQLite does not know the functions afterwards.
Status RemoveFunctions(sqlite3* db);

}  // namespace cairn::vectors
