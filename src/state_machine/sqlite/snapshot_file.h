// SnapshotStore: makes consistent copies of the live database for peers that are behind the log.
//
// A copy holds the bytes of one state (PinnedDatabase). Writes go on while the copy is made, and
// the copying takes some MiB of memory however large the file is. VACUUM INTO would make smaller
// files, but it renumbers the rowids of tables without an INTEGER PRIMARY KEY. A replica that is
// installed from such a copy would give later rows other rowids than its peers do.
//
// Readers read the pinned state itself while they keep pace with a disk, and then nothing is
// copied. But while the state is pinned, the WAL cannot be restarted. So the copy is made, at the
// speed of the disk, as soon as a reader is slow or breaks off, or the WAL grows. A broken transfer
// resumes from the copy.
//
// SnapshotReader::Complete on one reader waits while another reader reads the pinned state and
// keeps pace. If there is no other reader, Complete makes the copy at once. Complete returns OK if
// the copy was dropped meanwhile.
#pragma once

#include <sqlite3.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/file_system.h"
#include "base/mutex.h"
#include "base/result.h"
#include "raft/types.h"
#include "state_machine/state_machine.h"

namespace cairn::state_machine {

// Reads the meta of an open database. Fails if the database is not one of Cairn's.
using ReadSnapshotMeta = std::function<Result<raft::SnapshotMeta>(sqlite3*)>;

struct SnapshotStoreOptions {
  const char* vfs = nullptr;  // as in Storage
  std::string db_path;
  std::string directory;  // on the same file system as db_path; made if missing
  // Of the files of copies. No other store of the directory has it.
  std::string name_prefix = "outgoing-";
  ReadSnapshotMeta read_meta;
  // The space that stays free on the file system. A copy that would leave less is refused.
  uint64_t free_bytes_reserve = 64 << 20;
  size_t step_bytes = 1 << 20;  // copied between two looks at Stop
};

// The most that one SnapshotReader::Read returns.
inline constexpr size_t kSnapshotReadBytesMax = 16 << 20;

class SnapshotCopy;

// Thread-safe. The store touches only files that it has named (with its name_prefix).
class SnapshotStore {
 public:
  // Removes copies and half-made copies of earlier runs.
  static Result<std::unique_ptr<SnapshotStore>> Open(FileSystem& fs, SnapshotStoreOptions options);
  // Stops, and removes the kept copy. Readers may outlive the store: the last reader of a copy
  // removes the copy's file.
  ~SnapshotStore();

  // Returns the kept copy if its index is at or past `index_min`. Otherwise begins a copy of the
  // present state, and keeps it from then on; SnapshotReader::Complete makes the copy.
  // RESOURCE_EXHAUSTED if the disk lacks the space, CANCELLED after Stop, FAILED_PRECONDITION if
  // the database has not reached `index_min`, UNAVAILABLE while another copy is being made.
  Result<std::shared_ptr<SnapshotReader>> Acquire(LogIndex index_min);

  // Releases the state of the kept copy. Readers of a copy that is not whole get CANCELLED. The
  // disk space is freed as soon as no reader uses it.
  void DropKept();

  // Ends the copy that is being made: its readers get CANCELLED, and so does Acquire until Resume.
  // On return the store does not hold the database open.
  void Stop();
  void Resume();

  // The bytes of the pinned state; 0 if none is pinned. A pinned state keeps the WAL from being
  // restarted.
  uint64_t copying_bytes() const { return *pinned_bytes_; }
  // Has the copy of a pinned state made now. Its readers may be slower than the growth of the WAL.
  void Hurry();
  // Ends the copy that is being made, soon: its readers get ABORTED. Does not wait for them.
  void GiveUpCopy();

 private:
  SnapshotStore(FileSystem& fs, SnapshotStoreOptions options);
  Result<std::shared_ptr<SnapshotCopy>> Begin(LogIndex index_min) CAIRN_REQUIRES(mutex_);
  Status CheckSpace(uint64_t needed);

  FileSystem& fs_;
  const SnapshotStoreOptions options_;
  const std::shared_ptr<std::atomic<uint64_t>> pinned_bytes_ =
      std::make_shared<std::atomic<uint64_t>>(0);
  Mutex mutex_;
  bool stopped_ CAIRN_GUARDED_BY(mutex_) = false;
  uint64_t made_ CAIRN_GUARDED_BY(mutex_) = 0;  // keeps the names of copies apart
  std::shared_ptr<SnapshotCopy> kept_ CAIRN_GUARDED_BY(mutex_);
  std::weak_ptr<SnapshotCopy> last_ CAIRN_GUARDED_BY(mutex_);  // perhaps being made
};

}  // namespace cairn::state_machine
