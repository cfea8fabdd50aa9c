// The SQLite file: whether it is one of Cairn's, and what it says of itself.
#pragma once

#include <sqlite3.h>

#include <string>

#include "base/result.h"
#include "base/status.h"
#include "raft/types.h"
#include "state_machine/sqlite/storage.h"
#include "state_machine/state_machine.h"

namespace cairn::state_machine {

inline constexpr int kDataFormat = 2;

// FAILED_PRECONDITION if there is a file that is not a Cairn database, or of another format.
// Touches nothing; no file, or an empty one, is fine.
Status CheckDataFile(const Storage& storage, const std::string& path);

// The applied index of a file that nobody has open; 0 if there is none, or an empty one. Else as
// CheckDataFile.
Result<LogIndex> ReadIndexOfFile(const Storage& storage, const std::string& path);

// Of an open database, as of the transaction that the connection is in.
Result<AppliedState> ReadAppliedState(sqlite3* db);
Result<raft::SnapshotMeta> ReadMeta(sqlite3* db);

}  // namespace cairn::state_machine
