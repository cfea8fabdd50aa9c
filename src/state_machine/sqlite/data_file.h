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

inline constexpr int kDataFormat = 3;

// The table `_cairn_state`.
extern const char* const kStateSchema;
// Its step of data_conversion.h; sets the format as well.
Status ConvertState(sqlite3* db);

// The format of the file, which is the present one or one that ConvertDataFile reads; 0 if there is
// no file, or an empty one. FAILED_PRECONDITION if the file is not a Cairn database, of a format that
// is not read, or of a feature level above `level_max`. Touches nothing.
Result<int> CheckDataFile(const Storage& storage, const std::string& path, uint64_t level_max);

// Of a file that nobody has open.
struct FileSummary {
  LogIndex applied;  // 0 if there is no file, or an empty one
  int format = 0;    // likewise
};
// Else as CheckDataFile.
Result<FileSummary> ReadFileSummary(const Storage& storage, const std::string& path);

// Of an open database, as of the transaction that the connection is in.
Result<AppliedState> ReadAppliedState(sqlite3* db);
// Also of a file that is not yet converted.
Result<raft::SnapshotMeta> ReadMeta(sqlite3* db);

}  // namespace cairn::state_machine
