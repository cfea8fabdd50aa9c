// Restore: makes the data of a node of a new cluster from a backup.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/ids.h"
#include "base/result.h"
#include "state_machine/feature_level.h"

namespace cairn::server {

struct RestoreOptions {
  std::string backup;   // with BACKUP.sha256 beside it
  std::string db_path;  // what `cairn server --db` will name; neither it nor FILE.cairn may exist
  uint64_t node_id = 1;
  bool without_checksum = false;  // BACKUP.sha256 is lost; the sums in the database still count
  uint64_t level_max = state_machine::kLevelHighest;
  // In words, what is being done.
  std::function<void(const std::string&)> progress{};
};

struct RestoreResult {
  uint64_t cluster_id = 0;
  LogIndex backup_index;  // that the backup is of
  LogIndex index;         // that the new cluster begins at
  uint64_t restores = 0;  // the restore count
};

// Checks the backup and makes the database and its directory from it. They get their names at the
// end, durably; after an error they are not there. The backup is not changed.
//   NOT_FOUND            there is no backup, or no checksum beside it
//   DATA_LOSS            the backup is not what was written
//   FAILED_PRECONDITION  it is no backup of this version
//   ALREADY_EXISTS       there is a database at `db_path`
//   RESOURCE_EXHAUSTED   the disk has no room
Result<RestoreResult> Restore(const RestoreOptions& options);

// Only the checks. Returns the index of the backup.
Result<LogIndex> VerifyBackup(const RestoreOptions& options);

}  // namespace cairn::server
