// RestoredFile: makes a backup the next state of a running cluster.
//
// Rows, the schema, and what users have set (which changes are retained) come from the backup. What
// the log and its clients count by goes on as it was in the running cluster:
//
//   state     index, term, members, feature level, lease clock and latest wall time
//   versions  the greater of both, plus 1, for each table and for the database
//   sessions  those of the running cluster; their requests are refused (outcome unknown), whatever
//             their sequence. Sessions of nodes go on: no client retries by their names
//   bare ids  those of the running cluster; what came of them is not held any more (outcome unknown)
//   2PC       what has ended is remembered as it was. The caller has ended what was prepared
//   access    the grants of the running cluster, so that a backup gives nobody rights
//   changes   what is retained goes: no position of before the restore is served
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <string>

#include "base/result.h"
#include "base/status.h"
#include "raft/types.h"
#include "state_machine/sqlite/storage.h"

namespace cairn::state_machine {

// FAILED_PRECONDITION if the first bytes of the file at `path` are not those of a file that can be
// written.
Status CheckHead(const Storage& storage, const std::string& path);

// FAILED_PRECONDITION if the file at `path` holds Cairn's tables otherwise than Cairn makes them
// (own_tables.h).
Status CheckOwnTables(const Storage& storage, const std::string& path);

// kYes: all is written, and undone. What would fail later, when nobody can say no any more, fails now.
enum class Trial : uint8_t { kNo, kYes };

// Changes the file. `running` is the writer's connection, in the transaction of the entry. `restore`
// is the SQL that makes and fills the tables of RestoreInto. The caller syncs the file.
Result<raft::SnapshotMeta> MakeRestoredFile(const Storage& storage, const std::string& path,
                                            sqlite3* running, const std::string& restore,
                                            Trial trial);

}  // namespace cairn::state_machine
