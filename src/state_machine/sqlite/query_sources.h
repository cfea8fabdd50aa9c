// What the rows of a client's query depend on, so that somebody who waits for other rows need not run
// the query to know that there are none.
#pragma once

#include <set>
#include <string>

#include "base/result.h"
#include "state_machine/sqlite/read_pool.h"
#include "state_machine/state_machine.h"

namespace cairn::state_machine {

// Compiles the query. A query that reads a virtual table, or a function that gives a table, depends
// on the whole database: such a table may read others that the query does not name.
Result<QuerySources> ReadQuerySources(ReadTransaction* read, const std::string& sql,
                                      const QueryLimits& limits);

// ReadView::TablesNamed.
Result<std::set<std::string>> ReadTablesNamed(ReadTransaction* read, const std::string& sql,
                                              const QueryLimits& limits);

}  // namespace cairn::state_machine
