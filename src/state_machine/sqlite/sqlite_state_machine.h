// SqliteStateMachine: opens the StateMachine on a SQLite file.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/engine_id.h"
#include "base/file_system.h"
#include "base/result.h"
#include "raft/types.h"
#include "state_machine/state_machine.h"

namespace cairn::state_machine {

struct SqliteOptions {
  std::string path;                // the SQLite file
  std::string snapshot_directory;  // for outgoing and incoming copies; same file system
  int readers_max = 16;
  size_t cache_bytes = 8 << 20;  // page cache of the writer; readers get an eighth each
  // The WAL: above the first new views give way so that it can begin anew, above the second who
  // reads is ended (wal_bound.h).
  uint64_t wal_restart_bytes = 64 << 20;
  uint64_t wal_bytes_max = 256 << 20;
  // For tests and the simulator: everything lies here, SQLite's files included. Null: the operating
  // system's, where SQLite goes its own way. Must outlive the state machine, as the clock must.
  FileSystem* file_system = nullptr;
  // For the age of views, and for what queries (never writes) see as now if there is a file_system.
  Clock* clock = nullptr;  // null: the system's
  // Feature levels that this node knows; another one in tests of upgrades alone.
  uint64_t level_max = kLevelHighest;
  // What sessions and bare ids have room for is divided by this; above 1 in the simulator alone,
  // whose clients would not fill it. The same on all nodes: it decides which commands are refused.
  uint64_t request_room_divisor = 1;
};

// Opens the file, or makes it with `founding` as its configuration at index 0. A file of Cairn 0.1
// is converted. A file that is not a Cairn database, of a newer format or of a feature level that is
// not known is FAILED_PRECONDITION and is not touched.
Result<std::unique_ptr<StateMachine>> OpenSqliteStateMachine(const SqliteOptions& options,
                                                             const raft::Configuration& founding);

struct DataFileSummary {
  LogIndex applied;         // 0 if there is no file, or an empty one
  bool is_present = false;  // it has the present format: not of Cairn 0.1, nor missing
};
// Of a database that nobody has open. FAILED_PRECONDITION if it is not a Cairn database, or of a
// newer format. Nothing is touched, nor made beside it.
Result<DataFileSummary> SummaryOfDataFile(const std::string& path);

// What statements depend on for their effects: the machine (architecture, definition of the sums)
// and the build (Cairn's version and a hash of the sources that decide what apply does, SQLite's
// source id and compile options). Peers exchange it when they connect. The version alone would be
// the same for all commits between two releases.
EngineId EngineFingerprint(const std::string& cairn_version);

}  // namespace cairn::state_machine
