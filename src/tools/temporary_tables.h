// TEMP tables of a gathered transaction.
#pragma once

#include <cstddef>
#include <vector>

#include "base/result.h"
#include "tools/sql_text.h"

namespace cairn::tools {

// A TEMP table belongs to one connection, and no connection is a client's own. But the statements of
// a gathered transaction are one command: a table that is made and dropped among them is seen by
// nobody else. So a TEMP table that the transaction itself drops becomes an ordinary one, under its
// own name. If the cluster has that name, CREATE TABLE fails, and the transaction as a whole.
//
// Takes TEMP out of such statements. INVALID_ARGUMENT, with `*failed` as the place of the statement:
// the transaction drops the table not or alters it, so that more than the transaction might see it.
Status MakeTemporaryTablesOrdinary(std::vector<StatementSplitter::Statement>* statements,
                                   size_t* failed);

}  // namespace cairn::tools
