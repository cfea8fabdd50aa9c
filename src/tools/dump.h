// Dumps: the database as SQL text, as of one moment.
#pragma once

#include <chrono>
#include <ostream>
#include <string>
#include <vector>

#include "base/result.h"
#include "tools/node_client.h"

namespace cairn::tools {

// All rows of a query that has few.
Result<std::vector<Row>> ReadAll(NodeClient* node, Statement statement,
                                 std::chrono::milliseconds timeout);

// Writes statements that make the same tables, rows, indexes, views and triggers in SQLite and in
// Cairn. `patterns` name tables, as LIKE does; empty: all of the database. Memory is bounded.
//
// All rows are read by one query, so they are of one moment. A full-text table is written by its
// rows, and one with external content is built again from that content. A full-text table without
// content cannot be read back: it is left out, and the status names it. So are tables that a load
// keeps for itself. The rows do not wait for who reads `out` (spooled_output.h).
Status DumpSql(NodeClient* node, const std::vector<std::string>& patterns,
               std::chrono::milliseconds timeout, std::ostream* out);

}  // namespace cairn::tools
