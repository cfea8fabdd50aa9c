#include "state_machine/sqlite/snapshot_install.h"

#include <sqlite3.h>

#include <chrono>
#include <future>
#include <memory>

#include "base/log.h"
#include "base/mutex.h"
#include "base/path.h"
#include "state_machine/sqlite/immutable_database.h"
#include "state_machine/sqlite/internal_sql.h"
#include "state_machine/sqlite/statement.h"

namespace cairn::state_machine {
namespace {

// Both looks read almost every page once, so pages that were read are of little use.
constexpr size_t kVerifyCacheBytes = 256 << 10;
// How often `proceed` is called while a verdict is awaited.
constexpr std::chrono::milliseconds kAskEvery(100);

Status Compare(const raft::SnapshotMeta& found, const raft::SnapshotMeta& meta) {
  if (found == meta) return OkStatus();
  return FailedPrecondition("the snapshot is of index " + ToString(found.index) + " and term " +
                            ToString(found.term) + ", or of another configuration, than the " +
                            ToString(meta.index) + " and " + ToString(meta.term) + " announced");
}

// Reads the file on a thread of its own. SQLite does not ask during a quick_check whether to go on.
// Without this thread, the sender would take this node for dead on a slow disk.
class Look {
 public:
  Look(const char* vfs, const std::string& path, const ReadSnapshotMeta& examine)
      : found_(std::async(std::launch::async, [this, vfs, path, examine] {
          return WithImmutableDatabase(vfs, path, kVerifyCacheBytes, [&](sqlite3* db) {
            SetHandle(db);
            Result<raft::SnapshotMeta> found = examine(db);
            SetHandle(nullptr);
            return found;
          });
        })) {}

  bool is_over() { return found_.wait_for(kAskEvery) == std::future_status::ready; }
  void Interrupt() {
    const MutexLock lock(mutex_);
    if (db_ != nullptr) sqlite3_interrupt(db_);
  }
  Result<raft::SnapshotMeta> Get() { return found_.get(); }

 private:
  void SetHandle(sqlite3* db) {
    const MutexLock lock(mutex_);
    db_ = db;
  }

  Mutex mutex_;
  sqlite3* db_ CAIRN_GUARDED_BY(mutex_) = nullptr;
  std::future<Result<raft::SnapshotMeta>> found_;  // last: its thread uses the others
};

// Both checks read the whole file, and neither needs the other, so they run together. On two cores
// that takes half the time.
Status LookThroughTogether(const char* vfs, const std::string& path, const raft::SnapshotMeta& meta,
                           const ReadSnapshotMeta& read_meta, const ReadSnapshotMeta& check_pages,
                           const std::function<bool()>& proceed) {
  bool wanted = proceed();
  if (wanted) {
    Look pages(vfs, path, check_pages);
    Look rows(vfs, path, read_meta);
    for (Look* look : {&pages, &rows}) {
      while (!look->is_over()) {
        wanted = wanted && proceed();
        if (wanted) continue;
        // Interrupts again and again, because an interrupt between two statements ends neither.
        pages.Interrupt();
        rows.Interrupt();
      }
    }
    if (wanted) {
      RETURN_IF_ERROR(pages.Get().status());
      ASSIGN_OR_RETURN(const raft::SnapshotMeta found, rows.Get());
      return Compare(found, meta);
    }
  }
  return Cancelled("nobody waits for the snapshot any more");
}

// Checks that the copy is the one that `meta` describes. CheckSnapshotFile has found the copy sound
// before. Verify does not read the whole file again: the core's votes and acknowledgements wait for
// the install, and a large file would delay them for minutes.
Status Verify(FileSystem& fs, const SnapshotInstallation& install) {
  ASSIGN_OR_RETURN(
      const raft::SnapshotMeta found,
      WithImmutableDatabase(install.vfs, install.copy_path, kVerifyCacheBytes, install.read_meta));
  RETURN_IF_ERROR(Compare(found, install.meta));
  ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs.Open(install.copy_path, /*create=*/false));
  return file->Sync();
}

bool IsDamage(int rc) { return (rc & 0xff) == SQLITE_CORRUPT || (rc & 0xff) == SQLITE_NOTADB; }

// Removes a damaged database, which the copy replaces. The file goes before its WAL: without the
// WAL it might open as a state that never was. SQLite deletes a WAL without its file.
Status RemoveDamaged(FileSystem& fs, const std::string& db_path, const Status& damage) {
  LOG_WARN("the old database is damaged and is replaced: {}", damage.message());
  RETURN_IF_ERROR(fs.Remove(db_path));
  return fs.SyncDirectory(ParentOf(db_path));
}

// Moves the whole WAL into the file and syncs it, so that the file alone is the old database.
Status EmptyWal(FileSystem& fs, const char* vfs, const std::string& db_path) {
  ASSIGN_OR_RETURN(const bool exists, fs.Exists(db_path));
  if (!exists) return OkStatus();
  sqlite3* raw = nullptr;
  int rc = sqlite3_open_v2(db_path.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, vfs);
  std::unique_ptr<sqlite3, int (*)(sqlite3*)> db(raw, &sqlite3_close);
  if (rc != SQLITE_OK) return StatusFromSqlite(raw, rc).Prefixed("open " + db_path);
  // The first read opens the WAL. Without it there would seem to be no WAL to empty.
  rc = sqlite3_exec(raw, "PRAGMA synchronous = FULL; SELECT 1 FROM sqlite_schema", nullptr, nullptr,
                    nullptr);
  if (rc == SQLITE_OK) {
    rc = sqlite3_wal_checkpoint_v2(raw, "main", SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr);
  }
  if (rc == SQLITE_OK) return OkStatus();
  Status status = StatusFromSqlite(raw, rc).Prefixed("empty the WAL of " + db_path);
  if (!IsDamage(rc)) return status;
  db.reset();
  return RemoveDamaged(fs, db_path, status);
}

}  // namespace

Status CheckSnapshotFile(const char* vfs, const std::string& path, const raft::SnapshotMeta& meta,
                         const ReadSnapshotMeta& read_meta, const std::function<bool()>& proceed) {
  const ReadSnapshotMeta check_pages = [](sqlite3* db) -> Result<raft::SnapshotMeta> {
    const Status sound = CheckPages(db);
    if (sound.code() == StatusCode::kDataLoss) {
      return Status(sound).Prefixed("the snapshot is damaged");
    }
    RETURN_IF_ERROR(sound);
    return raft::SnapshotMeta();
  };
  if (proceed) return LookThroughTogether(vfs, path, meta, read_meta, check_pages, proceed);
  RETURN_IF_ERROR(WithImmutableDatabase(vfs, path, kVerifyCacheBytes, check_pages).status());
  ASSIGN_OR_RETURN(const raft::SnapshotMeta found,
                   WithImmutableDatabase(vfs, path, kVerifyCacheBytes, read_meta));
  return Compare(found, meta);
}

Status InstallSnapshotFile(FileSystem& fs, const SnapshotInstallation& install) {
  const auto reached = [&install](InstallStep step) {
    return install.after_step ? install.after_step(step) : OkStatus();
  };
  const std::string directory = ParentOf(install.db_path);

  RETURN_IF_ERROR(Verify(fs, install));
  // An operator may have let a group read the database.
  RETURN_IF_ERROR(fs.CopyMode(install.db_path, install.copy_path));
  RETURN_IF_ERROR(reached(InstallStep::kVerified));
  RETURN_IF_ERROR(install.close_connections());
  RETURN_IF_ERROR(reached(InstallStep::kClosed));
  RETURN_IF_ERROR(EmptyWal(fs, install.vfs, install.db_path));
  RETURN_IF_ERROR(reached(InstallStep::kCheckpointed));
  RETURN_IF_ERROR(fs.Remove(install.db_path + "-wal"));
  RETURN_IF_ERROR(reached(InstallStep::kWalRemoved));
  RETURN_IF_ERROR(fs.Remove(install.db_path + "-shm"));
  RETURN_IF_ERROR(reached(InstallStep::kShmRemoved));
  RETURN_IF_ERROR(fs.SyncDirectory(directory));
  RETURN_IF_ERROR(reached(InstallStep::kRemovalsDurable));
  RETURN_IF_ERROR(fs.Rename(install.copy_path, install.db_path));
  RETURN_IF_ERROR(reached(InstallStep::kRenamed));
  RETURN_IF_ERROR(fs.SyncDirectory(directory));
  return reached(InstallStep::kRenameDurable);
}

}  // namespace cairn::state_machine
