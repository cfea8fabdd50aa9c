// The tables of sessions and transactions of Cairn 0.1 (format 2): steps of ConvertDataFile.
#pragma once

#include <sqlite3.h>

#include "base/status.h"

namespace cairn::state_machine {

// What 0.1 did not record becomes "not known": the owner of a session, and whether the answer was
// an error if 0.1 no longer held it. All requests are remembered anew from the file's lease time.
// Both functions run before ConvertState.
Status ConvertSessions(sqlite3* db);
Status ConvertTransactions(sqlite3* db);

}  // namespace cairn::state_machine
