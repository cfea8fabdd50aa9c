// Puts a received copy in the place of the database. A crash at any moment leaves either the old
// database or the new one.
#pragma once

#include <functional>
#include <string>

#include "base/file_system.h"
#include "base/status.h"
#include "raft/types.h"
#include "state_machine/sqlite/snapshot_file.h"

namespace cairn::state_machine {

// The steps, in their order. The danger is the old WAL: SQLite finds it by its name, and replays it
// over whatever file stands beside it. The new file with the old `-wal` would open as the old data,
// and integrity_check would say ok. So the old WAL is first moved into the old file and removed,
// and the removal is made durable. Only then does the new file get the name.
enum class InstallStep {
  kVerified,         // the copy is what the meta says; it is on stable storage
  kClosed,           // the caller closed every connection to the database
  kCheckpointed,     // the old file alone holds all of the old data
  kWalRemoved,       // `-wal` is gone
  kShmRemoved,       // `-shm` is gone
  kRemovalsDurable,  // and stay gone after a power cut
  kRenamed,          // the new file has the name
  kRenameDurable,    // and keeps it after a power cut
};

struct SnapshotInstallation {
  const char* vfs = nullptr;  // as in Storage
  std::string copy_path;      // on the same file system as db_path; gone after success
  std::string db_path;        // may not exist yet
  raft::SnapshotMeta meta;
  ReadSnapshotMeta read_meta;
  // Closes the writer and drains the readers. On return nothing in this process may hold the file
  // open: POSIX locks are dropped when any descriptor of the file is closed.
  std::function<Status()> close_connections;
  // For tests of the crash points: called after each step. An error stops the installation there.
  // May be empty.
  std::function<Status(InstallStep)> after_step;
};

// Whether the copy at `path` is whole, is what `meta` says, and what `read_meta` finds right.
// `proceed` is called on this thread now and then; CANCELLED if it says false. It may be empty:
// then no other thread is used.
Status CheckSnapshotFile(const char* vfs, const std::string& path, const raft::SnapshotMeta& meta,
                         const ReadSnapshotMeta& read_meta, const std::function<bool()>& proceed);

// The copy is one that CheckSnapshotFile found right. DATA_LOSS if it can not be read as far as its
// meta, FAILED_PRECONDITION if that is not `meta`; then nothing was touched and no connection was
// closed. After any other error the database is the old or the new one, whole: the caller reopens
// it and looks. An old one that SQLite finds damaged does not stand in the way; in its case there
// may be none.
Status InstallSnapshotFile(FileSystem& fs, const SnapshotInstallation& install);

}  // namespace cairn::state_machine
