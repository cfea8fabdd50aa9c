// SnapshotStore: makes consistent copies of the live database for peers that are behind the log.
//
// The copy is made page by page, from a read transaction, so writes go on meanwhile, and memory
// stays at two page caches however large the file is. VACUUM INTO would be shorter to write and
// make smaller files, but it renumbers the rowids of tables without an INTEGER PRIMARY KEY: the
// replica installed from such a copy would give later rows other rowids than its peers.
#pragma once

#include <sqlite3.h>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "base/file_system.h"
#include "base/result.h"
#include "raft/types.h"
#include "state_machine/state_machine.h"

namespace cairn::state_machine {

// Reads from an open database what it says of itself. An error if it is not one of Cairn's.
using ReadSnapshotMeta = std::function<Result<raft::SnapshotMeta>(sqlite3*)>;

struct SnapshotStoreOptions {
  const char* vfs = nullptr;  // as in Storage
  std::string db_path;
  std::string directory;  // on the same file system as db_path; made if missing
  ReadSnapshotMeta read_meta;
  // Left free on the file system; a copy that would not leave this is refused.
  uint64_t free_bytes_reserve = 64 << 20;
  size_t cache_bytes = 4 << 20;  // page cache on either side of the copy
  size_t step_bytes = 1 << 20;   // copied between two looks at Stop
};

// Most that one SnapshotReader::Read gives.
inline constexpr size_t kSnapshotReadBytesMax = 16 << 20;

class SnapshotCopy;

// Thread-safe. Files in the directory that it did not name itself ("outgoing-*") are left alone.
class SnapshotStore {
 public:
  // Removes copies and half-made copies of earlier runs.
  static Result<std::unique_ptr<SnapshotStore>> Open(FileSystem& fs, SnapshotStoreOptions options);
  // Removes the kept copy. Readers may outlive the store; the last one of a copy removes its file.
  ~SnapshotStore();

  // The kept copy if its index is at or past `index_min`, else a new one as of now (which then is
  // kept). Long; one copy is made at a time, others wait and share it. RESOURCE_EXHAUSTED without
  // the space, CANCELLED after Stop, FAILED_PRECONDITION if the database has not reached
  // `index_min`.
  Result<std::shared_ptr<SnapshotReader>> Acquire(LogIndex index_min);

  // Gives the disk space of the kept copy back once no reader uses it.
  void DropKept();

  // Ends a copy being made, and all later ones until Resume, with CANCELLED.
  void Stop() { stopped_.store(true, std::memory_order_relaxed); }
  void Resume() { stopped_.store(false, std::memory_order_relaxed); }

 private:
  SnapshotStore(FileSystem& fs, SnapshotStoreOptions options);
  Result<std::shared_ptr<SnapshotCopy>> Make(LogIndex index_min);
  Result<std::shared_ptr<SnapshotCopy>> MakeAt(const std::string& path, LogIndex index_min);
  Status CheckSpace(sqlite3* source);
  Status CopyPages(sqlite3* source, const std::string& to);

  FileSystem& fs_;
  const SnapshotStoreOptions options_;
  std::atomic<bool> stopped_{false};
  std::mutex making_;  // held while a copy is made
  uint64_t made_ = 0;  // guarded by making_; keeps the names of copies apart
  std::mutex kept_mutex_;
  std::shared_ptr<SnapshotCopy> kept_;
};

}  // namespace cairn::state_machine
