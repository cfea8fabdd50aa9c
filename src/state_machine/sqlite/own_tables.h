// The tables that Cairn keeps in the database, as every build of this data format makes them.
//
// A file that comes from outside (a backup) may hold anything. An index, a trigger or another column on
// a table of Cairn would fail the first write to it, on every node at the same entry, for ever. So such a
// file may hold the tables of Cairn only as they are made here.
#pragma once

#include <sqlite3.h>

#include "base/status.h"

namespace cairn::state_machine {

// FAILED_PRECONDITION if the schema of `db` has something else under a name of Cairn's, lacks a table that
// every database has, or has any other text that names one of Cairn's tables.
Status CheckSchemaOfOwnTables(sqlite3* db);

}  // namespace cairn::state_machine
