// Checkpointer: moves the WAL of the writer's connection into the database file, and knows the size
// of the WAL.
#pragma once

#include <sqlite3.h>

#include <atomic>
#include <cstdint>

#include "base/result.h"
#include "base/status.h"

namespace cairn::state_machine {

// Owned by the engine, and used on its thread only, except for wal_bytes().
class Checkpointer {
 public:
  // Called once. The checkpointer must outlive the connection.
  Status Install(sqlite3* db);

  // Bytes of the WAL that are not known to be in the file. Thread-safe.
  uint64_t wal_bytes() const { return wal_bytes_.load(std::memory_order_relaxed); }
  // Moves the WAL into the file, as far as no reader holds it back, and syncs the file. True: the
  // whole WAL was moved.
  Result<bool> Checkpoint();

 private:
  static int OnCommit(void* self, sqlite3* db, const char* schema, int frames);

  sqlite3* db_ = nullptr;
  uint64_t page_bytes_ = 4096;
  std::atomic<uint64_t> wal_bytes_{0};
};

}  // namespace cairn::state_machine
