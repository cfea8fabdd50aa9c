// Replaces the database by a received copy. A crash at any moment leaves either the old database or
// the new one.
#pragma once

#include <functional>
#include <string>

#include "base/file_system.h"
#include "base/status.h"
#include "raft/types.h"
#include "state_machine/sqlite/snapshot_file.h"

namespace cairn::state_machine {

// The steps, in order. The danger is the old WAL: SQLite finds it by name, and replays it over
// whatever file has the database's name. With the old `-wal`, the new file would open as the old
// data, and integrity_check would report no error. So the old WAL is first moved into the old file
// and removed, and the removal is made durable. Only then is the new file renamed.
enum class InstallStep {
  kVerified,         // the copy matches the meta, and is on stable storage
  kClosed,           // the caller closed every connection to the database
  kCheckpointed,     // the old file alone holds all of the old data
  kWalRemoved,       // `-wal` is gone
  kShmRemoved,       // `-shm` is gone
  kRemovalsDurable,  // both stay gone after a power cut
  kRenamed,          // the new file has the database's name
  kRenameDurable,    // the new file keeps the name after a power cut
};

struct SnapshotInstallation {
  const char* vfs = nullptr;  // as in Storage
  std::string copy_path;      // on the same file system as db_path; gone after success
  std::string db_path;        // may not exist yet
  raft::SnapshotMeta meta;
  ReadSnapshotMeta read_meta;
  // Closes the writer and drains the readers. On return nothing in this process may hold the file
  // open: when any descriptor of a file is closed, the process loses its POSIX locks on the file.
  std::function<Status()> close_connections;
  // For tests of crash points: called after each step. An error stops the installation there. May
  // be empty.
  std::function<Status(InstallStep)> after_step;
};

// Checks that the copy at `path` is whole, matches `meta`, and passes `read_meta`. Calls `proceed`
// on this thread now and then; CANCELLED if it returns false. If `proceed` is empty, the check uses
// no other thread.
Status CheckSnapshotFile(const char* vfs, const std::string& path, const raft::SnapshotMeta& meta,
                         const ReadSnapshotMeta& read_meta, const std::function<bool()>& proceed);

// The copy must have passed CheckSnapshotFile. DATA_LOSS if the meta of the copy can not be read,
// FAILED_PRECONDITION if it is not `meta`; then nothing was touched and no connection was closed.
// After any other error the database is the old one or the new one, whole; the caller reopens it to
// find out. An old database that SQLite finds damaged does not prevent the installation; after an
// error in that case there may be no database.
Status InstallSnapshotFile(FileSystem& fs, const SnapshotInstallation& install);

}  // namespace cairn::state_machine
