// The price of building an index from stored rows, in steps of a WorkBudget.
//
// CREATE INDEX and REINDEX read each row, sort the keys in a temporary file, and write them to the
// index and to the write-ahead log, within some ten steps a row whatever the keys' bytes. So the
// keys are measured before: by a scan that ends as soon as the price is more than what is left.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "state_machine/sqlite/authorizer.h"

namespace cairn::state_machine {

// The price of the indexes that a statement builds, with that of the scan. At most a little more than
// `steps_max` is counted. `facts` are those of the statement `sql`. 0 if the statement builds none.
Result<uint64_t> StepsOfIndexBuilds(sqlite3* db, const ProgramFacts& facts, std::string_view sql,
                                    uint64_t steps_max);

}  // namespace cairn::state_machine
