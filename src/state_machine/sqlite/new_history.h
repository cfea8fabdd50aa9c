// NewHistory: makes a backup the first state of a new cluster.
//
// The old cluster may have gone on after the backup, and its clients may still hold what it told
// them: versions, positions of changes, read indexes, names of requests. None of that may be taken
// for something of the new cluster. So the new history begins far above all that the old one can
// have reached:
//
//   index     the next multiple of 2^40. index >> 40 is the restore count
//   versions  raised by 2^32 + 2^28, for each table and for the database. The second term is what
//             clients see that read versions as 32 bits
//   sessions  requests of sessions that the backup knows are refused (outcome unknown), whatever
//             their sequence. Bare ids are kept: a request that is in the backup has its first
//             answer, and one that is not runs
//   changes   what is retained of the old history goes. The settings stay
//
// Rows, the lease clock, the latest wall time and prepared transactions stay as they are.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <string>

#include "base/result.h"
#include "base/status.h"
#include "raft/types.h"
#include "state_machine/sqlite/storage.h"

namespace cairn::state_machine {

inline constexpr int kRestoreCountShift = 40;
inline constexpr int64_t kRestoredVersionsStep = (int64_t{1} << 32) + (1 << 28);

// The restores that lie before the entry.
inline uint64_t RestoreCountOf(LogIndex index) { return index.value() >> kRestoreCountShift; }

// Checks that the file, which nobody has open, is a whole database of this format and of a feature
// level up to `level_max`, and that its rows are those that were written. Returns what the file says
// of itself. Reads the whole file.
//   FAILED_PRECONDITION  no database of Cairn, or of another version; says what to do
//   DATA_LOSS            damaged
Result<raft::SnapshotMeta> CheckBackup(const Storage& storage, const std::string& path,
                                       uint64_t level_max);

// What is retained up to the index goes, and no position up to it is held. The settings stay.
Status ForgetRetainedChanges(sqlite3* db, LogIndex index);

// Begins the new history in the file, durably, with the node as its only member. Returns the new
// meta. CheckBackup has found the file sound.
Result<raft::SnapshotMeta> BeginNewHistory(const std::string& path, uint64_t node_id,
                                           const std::string& address, uint64_t nonce);

}  // namespace cairn::state_machine
