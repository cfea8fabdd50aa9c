// The tables of sessions and transactions of Cairn 0.1 (format 2): steps of ConvertDataFile.
#pragma once

#include <sqlite3.h>

#include "base/status.h"

namespace cairn::state_machine {

// What 0.1 did not record is taken for not known: whose a session is, and of a request whose answer
// it no longer held whether that was an error. All are remembered anew from the file's lease time.
// Before ConvertState.
Status ConvertSessions(sqlite3* db);
Status ConvertTransactions(sqlite3* db);

}  // namespace cairn::state_machine
