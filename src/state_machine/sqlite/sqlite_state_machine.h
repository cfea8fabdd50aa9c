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
  std::string snapshot_directory;  // of outgoing and incoming copies; on the same file system
  int readers_max = 16;
  size_t cache_bytes = 8 << 20;  // page cache of the writer; readers get an eighth each
  // Bounds of the WAL. Above wal_restart_bytes new views wait until the WAL can be restarted. Above
  // wal_bytes_max readers are ended (wal_bound.h).
  uint64_t wal_restart_bytes = 64 << 20;
  uint64_t wal_bytes_max = 256 << 20;
  // The memory of all approximate indexes of vectors (vector_graphs.h); 0: there are none, and no
  // thread. They are kept in vector_directory.
  size_t vector_bytes_max = 0;
  std::string vector_directory{};
  size_t vector_rows_min = 20'000;      // a smaller index has none
  size_t change_ring_bytes = 16 << 20;  // of recent changes, while somebody watches
  // For tests and the simulator: all files are here, those of SQLite included. Null: the operating
  // system's file system, which SQLite uses through its own VFS. Must outlive the state machine, as
  // must the clock.
  FileSystem* file_system = nullptr;
  // Gives the age of views. With a file_system it also gives queries (never writes) the current
  // time.
  Clock* clock = nullptr;  // null: the system's clock
  // The highest feature level that this node knows. Only tests of upgrades set another one.
  uint64_t level_max = kLevelHighest;
  // Divides the room for sessions and bare ids. Only the simulator sets more than 1, because its
  // clients would not fill the room. The same on all nodes, because it decides which commands are
  // refused.
  uint64_t request_room_divisor = 1;
};

// Opens the file, or creates it with `founding` as its configuration at index 0. Converts a file of
// Cairn 0.1. FAILED_PRECONDITION if the file is not a Cairn database, or has a newer format or an
// unknown feature level; the file is then not touched.
Result<std::unique_ptr<StateMachine>> OpenSqliteStateMachine(const SqliteOptions& options,
                                                             const raft::Configuration& founding);

struct DataFileSummary {
  LogIndex applied;         // 0 if there is no file, or an empty one
  bool is_present = false;  // the file exists and has the present format, not that of Cairn 0.1
};
// The summary of a database that nobody has open. FAILED_PRECONDITION if the file is not a Cairn
// database or has a newer format. Changes no file and creates none.
Result<DataFileSummary> SummaryOfDataFile(const std::string& path);

// Identifies what the effects of statements depend on: the machine (architecture, definition of the
// sums) and the build (Cairn's version, a hash of the sources that decide what apply does, SQLite's
// source id and compile options). Peers exchange it when they connect. The version alone would be
// the same for all commits between two releases.
EngineId EngineFingerprint(const std::string& cairn_version);

}  // namespace cairn::state_machine
