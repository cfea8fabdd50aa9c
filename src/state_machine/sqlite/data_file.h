// The SQLite file: whether it is a Cairn database, and what it says about itself.
#pragma once

#include <sqlite3.h>

#include <string>

#include "base/result.h"
#include "base/status.h"
#include "raft/types.h"
#include "state_machine/sqlite/storage.h"
#include "state_machine/state_machine.h"

namespace cairn::state_machine {

inline constexpr int kDataFormat = 3;

// The table `_cairn_state`.
extern const char* const kStateSchema;
// The table's step of ConvertDataFile (data_conversion.h). Sets the format as well.
Status ConvertState(sqlite3* db);

// The format of the file: the present format, one that ConvertDataFile reads, or 0 if the file is
// missing or empty. FAILED_PRECONDITION if the file is not a Cairn database, has another format, or
// has a feature level above `level_max`. Changes nothing.
Result<int> CheckDataFile(const Storage& storage, const std::string& path, uint64_t level_max);

// What a file that nobody has open says about itself.
struct FileSummary {
  LogIndex applied;  // 0 if there is no file, or an empty one
  int format = 0;    // 0 in the same cases
};
// Fails as CheckDataFile does.
Result<FileSummary> ReadFileSummary(const Storage& storage, const std::string& path);

// Reads an open database, in the transaction of the connection.
Result<AppliedState> ReadAppliedState(sqlite3* db);
// Reads a file of an older format too.
Result<raft::SnapshotMeta> ReadMeta(sqlite3* db);

// Writes the WAL of the database at `path` over itself, if there is one. After a failed sync the system
// may show data that it did not store, and take them for stored. The next sync of the WAL would
// succeed. A power cut during the following checkpoint would then leave a torn file and no WAL to
// repair it. Only data that are written again are surely stored.
Status WriteWalAgain(FileSystem& fs, const std::string& path);

}  // namespace cairn::state_machine
