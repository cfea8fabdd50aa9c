#include "state_machine/sqlite/snapshot_file.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/crc32c.h"
#include "state_machine/sqlite/immutable_database.h"
#include "state_machine/sqlite/statement.h"

namespace cairn::state_machine {
namespace {

constexpr std::string_view kNamePrefix = "outgoing-";
constexpr size_t kChecksumChunkBytes = 1 << 20;

struct CloseDatabase {
  void operator()(sqlite3* db) const { sqlite3_close(db); }
};
using DatabasePtr = std::unique_ptr<sqlite3, CloseDatabase>;

struct FinishBackup {
  void operator()(sqlite3_backup* backup) const { sqlite3_backup_finish(backup); }
};
using BackupPtr = std::unique_ptr<sqlite3_backup, FinishBackup>;

Status Exec(sqlite3* db, const std::string& sql) {
  const int rc = sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr);
  return rc == SQLITE_OK ? OkStatus() : StatusFromSqlite(db, rc);
}

Result<int64_t> QueryNumber(sqlite3* db, std::string_view sql) {
  ASSIGN_OR_RETURN(const StatementPtr stmt, PrepareSingle(db, sql, 0));
  const int rc = sqlite3_step(stmt.get());
  if (rc != SQLITE_ROW) return StatusFromSqlite(db, rc);
  return static_cast<int64_t>(sqlite3_column_int64(stmt.get(), 0));
}

Result<DatabasePtr> OpenDatabase(const char* vfs, const std::string& path, int flags,
                                 size_t cache_bytes) {
  sqlite3* raw = nullptr;
  const int rc = sqlite3_open_v2(path.c_str(), &raw, flags | SQLITE_OPEN_NOMUTEX, vfs);
  DatabasePtr db(raw);
  if (rc != SQLITE_OK) return StatusFromSqlite(raw, rc).Prefixed("open " + path);
  RETURN_IF_ERROR(Exec(raw, "PRAGMA cache_size = -" + std::to_string(cache_bytes / 1024 + 1)));
  sqlite3_busy_timeout(raw, 1000);
  return db;
}

// CRC32C and size of a whole file.
struct Checksum {
  uint32_t crc = 0;
  uint64_t size_bytes = 0;
};
Result<Checksum> SyncAndChecksum(FileSystem& fs, const std::string& path,
                                 const std::atomic<bool>& stopped) {
  ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs.Open(path, /*create=*/false));
  RETURN_IF_ERROR(file->Sync());
  Checksum sum;
  while (true) {
    if (stopped.load(std::memory_order_relaxed)) return Cancelled("stopping");
    ASSIGN_OR_RETURN(const std::string chunk, file->ReadAt(sum.size_bytes, kChecksumChunkBytes));
    if (chunk.empty()) return sum;
    sum.crc = Crc32c(chunk, sum.crc);
    sum.size_bytes += chunk.size();
  }
}

// Removes a file that is of no use any more; one that stays is removed at the next start.
void RemoveQuietly(FileSystem& fs, const std::string& path) {
  if (!fs.Remove(path).ok()) return;
}

}  // namespace

// A finished copy. The last owner removes the file.
class SnapshotCopy {
 public:
  SnapshotCopy(FileSystem& fs, std::string path, raft::SnapshotMeta meta, Checksum sum)
      : fs_(fs), path_(std::move(path)), meta_(std::move(meta)), sum_(sum) {}
  ~SnapshotCopy() { RemoveQuietly(fs_, path_); }
  SnapshotCopy(const SnapshotCopy&) = delete;
  SnapshotCopy& operator=(const SnapshotCopy&) = delete;

  FileSystem& fs() const { return fs_; }
  const std::string& path() const { return path_; }
  const raft::SnapshotMeta& meta() const { return meta_; }
  uint64_t size_bytes() const { return sum_.size_bytes; }
  uint32_t crc() const { return sum_.crc; }

 private:
  FileSystem& fs_;
  const std::string path_;
  const raft::SnapshotMeta meta_;
  const Checksum sum_;
};

namespace {

class CopyReader final : public SnapshotReader {
 public:
  CopyReader(std::shared_ptr<SnapshotCopy> copy, std::unique_ptr<File> file)
      : copy_(std::move(copy)), file_(std::move(file)) {}

  const raft::SnapshotMeta& meta() const override { return copy_->meta(); }
  uint64_t size_bytes() const override { return copy_->size_bytes(); }
  uint32_t crc() const override { return copy_->crc(); }
  Result<std::string> Read(uint64_t offset, size_t size) override {
    if (offset >= size_bytes()) return std::string();
    const uint64_t left = size_bytes() - offset;
    return file_->ReadAt(offset, std::min<uint64_t>({left, size, kSnapshotReadBytesMax}));
  }

 private:
  const std::shared_ptr<SnapshotCopy> copy_;
  const std::unique_ptr<File> file_;
};

Result<std::shared_ptr<SnapshotReader>> MakeReader(std::shared_ptr<SnapshotCopy> copy) {
  ASSIGN_OR_RETURN(std::unique_ptr<File> file, copy->fs().Open(copy->path(), /*create=*/false));
  return std::shared_ptr<SnapshotReader>(
      std::make_shared<CopyReader>(std::move(copy), std::move(file)));
}

}  // namespace

SnapshotStore::SnapshotStore(FileSystem& fs, SnapshotStoreOptions options)
    : fs_(fs), options_(std::move(options)) {}

SnapshotStore::~SnapshotStore() = default;

Result<std::unique_ptr<SnapshotStore>> SnapshotStore::Open(FileSystem& fs,
                                                           SnapshotStoreOptions options) {
  RETURN_IF_ERROR(fs.CreateDirectories(options.directory));
  ASSIGN_OR_RETURN(const std::vector<std::string> names, fs.List(options.directory));
  for (const std::string& name : names) {
    if (name.compare(0, kNamePrefix.size(), kNamePrefix) != 0) continue;
    RETURN_IF_ERROR(fs.Remove(options.directory + "/" + name));
  }
  return std::unique_ptr<SnapshotStore>(new SnapshotStore(fs, std::move(options)));
}

Result<std::shared_ptr<SnapshotReader>> SnapshotStore::Acquire(LogIndex index_min) {
  const std::lock_guard making(making_);
  std::shared_ptr<SnapshotCopy> copy;
  {
    const std::lock_guard lock(kept_mutex_);
    copy = kept_;
  }
  if (copy == nullptr || copy->meta().index < index_min) {
    copy.reset();
    DropKept();  // first: its space may be needed for the new one
    ASSIGN_OR_RETURN(copy, Make(index_min));
    const std::lock_guard lock(kept_mutex_);
    kept_ = copy;
  }
  return MakeReader(std::move(copy));
}

void SnapshotStore::DropKept() {
  std::shared_ptr<SnapshotCopy> dropped;  // removes the file after the lock is released
  const std::lock_guard lock(kept_mutex_);
  dropped.swap(kept_);
}

Status SnapshotStore::CheckSpace(sqlite3* source) {
  ASSIGN_OR_RETURN(const int64_t pages, QueryNumber(source, "PRAGMA page_count"));
  ASSIGN_OR_RETURN(const int64_t page_bytes, QueryNumber(source, "PRAGMA page_size"));
  const uint64_t needed = static_cast<uint64_t>(pages) * static_cast<uint64_t>(page_bytes);
  ASSIGN_OR_RETURN(const uint64_t free, fs_.FreeBytes(options_.directory));
  if (free >= needed + options_.free_bytes_reserve) return OkStatus();
  return ResourceExhausted("a snapshot needs " + std::to_string(needed) + " bytes in " +
                           options_.directory + " beside a reserve of " +
                           std::to_string(options_.free_bytes_reserve) + "; only " +
                           std::to_string(free) + " are free");
}

Status SnapshotStore::CopyPages(sqlite3* source, const std::string& to) {
  ASSIGN_OR_RETURN(const DatabasePtr target,
                   OpenDatabase(options_.vfs, to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
                                options_.cache_bytes));
  // A copy that is cut short is thrown away whole: it needs neither a journal nor a sync of its
  // own.
  RETURN_IF_ERROR(Exec(target.get(), "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF"));
  ASSIGN_OR_RETURN(const int64_t page_bytes, QueryNumber(source, "PRAGMA page_size"));
  const int pages_per_step =
      std::max(1, static_cast<int>(options_.step_bytes / static_cast<size_t>(page_bytes)));

  BackupPtr backup(sqlite3_backup_init(target.get(), "main", source, "main"));
  if (backup == nullptr) return StatusFromSqlite(target.get(), sqlite3_errcode(target.get()));
  int rc = SQLITE_OK;
  while (rc == SQLITE_OK) {
    if (stopped_.load(std::memory_order_relaxed)) return Cancelled("stopping");
    rc = sqlite3_backup_step(backup.get(), pages_per_step);
  }
  if (rc != SQLITE_DONE) return StatusFromSqlite(target.get(), rc);
  rc = sqlite3_backup_finish(backup.release());
  return rc == SQLITE_OK ? OkStatus() : StatusFromSqlite(target.get(), rc);
}

Result<std::shared_ptr<SnapshotCopy>> SnapshotStore::MakeAt(const std::string& path,
                                                            LogIndex index_min) {
  const std::string temporary = path + ".tmp";
  RETURN_IF_ERROR(fs_.Remove(temporary));
  {
    ASSIGN_OR_RETURN(
        const DatabasePtr source,
        OpenDatabase(options_.vfs, options_.db_path, SQLITE_OPEN_READONLY, options_.cache_bytes));
    // The transaction fixes one state. Without it each step would start one of its own, and any
    // write in between would make the copy begin anew: under steady writes it would never end.
    RETURN_IF_ERROR(Exec(source.get(), "BEGIN; SELECT 1 FROM sqlite_schema"));
    ASSIGN_OR_RETURN(const raft::SnapshotMeta now, options_.read_meta(source.get()));
    if (now.index < index_min) {
      return FailedPrecondition("the database is at index " + ToString(now.index) +
                                ", not yet at " + ToString(index_min));
    }
    RETURN_IF_ERROR(CheckSpace(source.get()));
    RETURN_IF_ERROR(CopyPages(source.get(), temporary));
  }
  ASSIGN_OR_RETURN(
      raft::SnapshotMeta meta,
      WithImmutableDatabase(options_.vfs, temporary, options_.cache_bytes, options_.read_meta));
  ASSIGN_OR_RETURN(const Checksum sum, SyncAndChecksum(fs_, temporary, stopped_));
  RETURN_IF_ERROR(fs_.Rename(temporary, path));
  RETURN_IF_ERROR(fs_.SyncDirectory(options_.directory));
  return std::make_shared<SnapshotCopy>(fs_, path, std::move(meta), sum);
}

Result<std::shared_ptr<SnapshotCopy>> SnapshotStore::Make(LogIndex index_min) {
  const std::string path =
      options_.directory + "/" + std::string(kNamePrefix) + std::to_string(++made_) + ".db";
  Result<std::shared_ptr<SnapshotCopy>> copy = MakeAt(path, index_min);
  if (copy.ok()) return copy;
  RemoveQuietly(fs_, path + ".tmp");
  return Status(copy.status()).Prefixed("make a snapshot");
}

}  // namespace cairn::state_machine
