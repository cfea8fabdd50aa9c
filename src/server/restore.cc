#include "server/restore.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <utility>

#include "base/checksum_file.h"
#include "base/file_system.h"
#include "base/locked_file.h"
#include "base/path.h"
#include "base/rng.h"
#include "base/sha256.h"
#include "log_store/segment_log.h"
#include "node/data_lock.h"
#include "node/identity_file.h"
#include "node/replica.h"
#include "state_machine/sqlite/new_history.h"

namespace cairn::server {
namespace {

constexpr size_t kPieceBytes = 1 << 20;
constexpr size_t kHeadBytes = 100;
constexpr size_t kChecksumBytesMax = 64 << 10;
// The log of a new node, and the first writes.
constexpr uint64_t kRoomBesideBytes = 64 << 20;
// The node writes down where it serves when it has been started.
constexpr char kAddressUnknown[] = "127.0.0.1:50051";

uint64_t BigEndian(std::string_view bytes) {
  uint64_t number = 0;
  for (const char byte : bytes) number = number << 8 | static_cast<unsigned char>(byte);
  return number;
}

// Whether a file that begins with `head` can be a whole database of `size` bytes
// (https://www.sqlite.org/fileformat2.html, section 1.3).
Status CheckHead(const std::string& path, std::string_view head, uint64_t size) {
  constexpr std::string_view kMagic("SQLite format 3\0", 16);
  if (head.empty()) return FailedPrecondition(path + " is empty, and no backup");
  if (head.size() < 100 || !head.starts_with(kMagic)) {
    return FailedPrecondition(path + " is not a SQLite database, and no backup");
  }
  uint64_t page_bytes = BigEndian(head.substr(16, 2));
  if (page_bytes == 1) page_bytes = 65536;
  const uint64_t wanted = page_bytes * BigEndian(head.substr(28, 4));
  if (size >= wanted) return OkStatus();
  return DataLoss(path + " was cut off: it has " + std::to_string(size) + " of " +
                  std::to_string(wanted) + " bytes");
}

bool IsThere(const std::string& path) {
  std::error_code failed;
  return std::filesystem::exists(std::filesystem::symlink_status(path, failed));
}

Status IsThereAlready(const std::string& path) {
  return AlreadyExists(path +
                       " is there already; restore makes a new node. Name another file, or move "
                       "this one aside");
}

// A plain rename would replace the database of a node that was started in the meantime.
Status RenameWithoutReplacing(const std::string& from, const std::string& to) {
  int rc = ::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE);
  // Some file systems cannot.
  if (rc != 0 && errno == EINVAL && !IsThere(to)) rc = ::rename(from.c_str(), to.c_str());
  if (rc == 0) return OkStatus();
  return errno == EEXIST ? IsThereAlready(to) : ErrnoStatus("rename " + from, errno);
}

class RestoreJob {
 public:
  explicit RestoreJob(const RestoreOptions& options) : options_(options) {}
  // Removes what did not get its name.
  ~RestoreJob() {
    if (!makes_) return;
    std::error_code ignored;
    std::filesystem::remove(database(), ignored);
    RemoveSidefiles();
    std::filesystem::remove_all(root(), ignored);
  }
  RestoreJob(const RestoreJob&) = delete;
  RestoreJob& operator=(const RestoreJob&) = delete;

  Status CheckPlaces() {
    if (options_.db_path.empty() || options_.db_path.back() == '/') {
      return InvalidArgument("the database needs a file name");
    }
    RETURN_IF_ERROR(CheckFree());
    ASSIGN_OR_RETURN(lock_, LockedFile::Acquire(database()));
    makes_ = true;
    // SQLite would play the journal of a restore that was killed into the new copy.
    RemoveSidefiles();
    return OkStatus();
  }

  // Reads the backup once: sums it up and, if `to_copy`, copies it.
  Status Read(bool to_copy) {
    Say("reading the backup");
    ASSIGN_OR_RETURN(const bool exists, fs_.Exists(options_.backup));
    if (!exists) return NotFound(options_.backup + " does not exist");
    std::string wanted;
    if (!options_.without_checksum) {
      ASSIGN_OR_RETURN(wanted, WantedSum());
    }
    ASSIGN_OR_RETURN(const uint64_t size, fs_.SizeOf(options_.backup));
    std::unique_ptr<File> copy;
    if (to_copy) {
      RETURN_IF_ERROR(CheckRoom(size));
      ASSIGN_OR_RETURN(copy, fs_.Open(database(), /*create=*/true));
      RETURN_IF_ERROR(copy->Truncate(0));
    }
    ASSIGN_OR_RETURN(const std::string found, Pass(copy.get()));
    if (!wanted.empty() && found != wanted) {
      return DataLoss(options_.backup + " is not the file that was backed up: its SHA-256 is " +
                      found + ", and " + ChecksumPath(options_.backup) + " says " + wanted +
                      ". Take another backup, or another copy of this one");
    }
    RETURN_IF_ERROR(CheckHead(options_.backup, head_, size));
    return copy == nullptr ? OkStatus() : copy->Sync();
  }

  Result<raft::SnapshotMeta> Check(const std::string& path) {
    Say("checking all rows");
    return state_machine::CheckBackup({}, path, options_.level_max);
  }

  Result<RestoreResult> Make(LogIndex backup_index) {
    Say("making the new node");
    RestoreResult result;
    result.backup_index = backup_index;
    node::IdentityRecord identity;
    identity.node_id = options_.node_id;
    while (identity.nonce == 0) identity.nonce = SystemEntropy();
    while (identity.cluster_id == 0) identity.cluster_id = SystemEntropy();
    ASSIGN_OR_RETURN(const raft::SnapshotMeta meta,
                     state_machine::BeginNewHistory(database(), identity.node_id, kAddressUnknown,
                                                    identity.nonce));
    identity.stage = transport::LifeStage::kStarted;
    identity.member = *meta.config.voters.begin();
    identity.config = meta.config;
    RETURN_IF_ERROR(MakeLog(meta));
    RETURN_IF_ERROR(node::SaveIdentity(fs_, root(), identity));
    RETURN_IF_ERROR(GiveNames());
    result.cluster_id = identity.cluster_id;
    result.index = meta.index;
    result.restores = state_machine::RestoreCountOf(meta.index);
    return result;
  }

  std::string database() const { return options_.db_path + ".restoring"; }

 private:
  // A WAL or a journal of another database that is beside the file would become part of the new one.
  Status CheckFree() const {
    for (const char* suffix : {"", ".cairn", "-wal", "-shm", "-journal"}) {
      if (IsThere(options_.db_path + suffix)) return IsThereAlready(options_.db_path + suffix);
    }
    return OkStatus();
  }
  void RemoveSidefiles() const {
    std::error_code ignored;
    for (const char* suffix : {"-journal", "-wal", "-shm"}) {
      std::filesystem::remove(database() + suffix, ignored);
    }
  }
  std::string root() const { return options_.db_path + ".cairn.restoring"; }
  void Say(const std::string& what) const {
    if (options_.progress) options_.progress(what);
  }

  Result<std::string> WantedSum() {
    const std::string path = ChecksumPath(options_.backup);
    ASSIGN_OR_RETURN(const bool exists, fs_.Exists(path));
    if (!exists) {
      return NotFound(path +
                      " does not exist, so nobody can tell whether the backup is whole. With "
                      "--without-checksum the sums inside the database are checked alone");
    }
    std::string text(kChecksumBytesMax, '\0');
    std::ifstream in(path, std::ios::binary);
    in.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<size_t>(in.gcount()));
    Result<ChecksumFile> file = DecodeChecksumFile(text);
    if (!file.ok()) return Status(file.status()).Prefixed(path);
    return std::move(file->sha256);
  }

  Status CheckRoom(uint64_t bytes) {
    const std::string directory = ParentOf(options_.db_path);
    ASSIGN_OR_RETURN(const uint64_t free, fs_.FreeBytes(directory));
    if (free >= bytes + kRoomBesideBytes) return OkStatus();
    return ResourceExhausted("the new node needs " + std::to_string(bytes + kRoomBesideBytes) +
                             " bytes in " + directory + ", and only " + std::to_string(free) +
                             " are free");
  }

  Result<std::string> Pass(File* copy) {
    // Opened to be read alone: a backup may lie where nothing can be written.
    std::ifstream from(options_.backup, std::ios::binary);
    if (!from) return ErrnoStatus("open " + options_.backup, errno);
    Sha256 sum;
    std::string piece;
    for (uint64_t at = 0;;) {
      piece.resize(kPieceBytes);
      from.read(piece.data(), static_cast<std::streamsize>(piece.size()));
      if (from.bad()) return ErrnoStatus("read " + options_.backup, errno);
      piece.resize(static_cast<size_t>(from.gcount()));
      if (at == 0) head_ = piece.substr(0, kHeadBytes);
      if (piece.empty()) return sum.Hex();
      sum.Add(piece);
      if (copy != nullptr) {
        RETURN_IF_ERROR(copy->WriteAt(at, piece));
        copy->StartSync(at, piece.size());
      }
      at += piece.size();
    }
  }

  // An empty log that begins after the state of the database.
  Status MakeLog(const raft::SnapshotMeta& meta) {
    // What a restore that was killed has left.
    std::error_code ignored;
    std::filesystem::remove_all(root(), ignored);
    RETURN_IF_ERROR(fs_.CreateDirectories(root()));
    const std::string directory = root() + "/log";
    RETURN_IF_ERROR(fs_.CreateDirectories(directory));
    ASSIGN_OR_RETURN(const std::unique_ptr<log_store::LogStore> log,
                     log_store::OpenSegmentLog(fs_, directory, {}));
    log_store::GroupWrite write;
    write.group = node::ReplicaOptions().group;
    write.hard_state = raft::HardState{meta.term, MemberId(), meta.index};
    write.reset_to = log_store::GroupWrite::ResetTo{meta.index, meta.term};
    RETURN_IF_ERROR(log->Write({write}));
    return log->Sync();
  }

  // Nobody else's file is replaced: a service may have started a server on the name in the meantime.
  // The directory gets its name first, with its lock held, so no server starts between the two. A
  // crash between the two leaves a directory without its database, which no server opens.
  Status GiveNames() {
    RETURN_IF_ERROR(CheckFree());
    const std::string directory = options_.db_path + ".cairn";
    ASSIGN_OR_RETURN(const std::unique_ptr<node::DataLock> lock, node::DataLock::Acquire(root()));
    RETURN_IF_ERROR(RenameWithoutReplacing(root(), directory));
    if (Status named = RenameWithoutReplacing(database(), options_.db_path); !named.ok()) {
      // Its own directory, which the lock has kept from others.
      RETURN_IF_ERROR(fs_.Rename(directory, root()));
      return named;
    }
    return fs_.SyncDirectory(ParentOf(options_.db_path));
  }

  const RestoreOptions& options_;
  FileSystem& fs_ = PosixFileSystem();
  std::unique_ptr<LockedFile> lock_;  // of the copy: one restore of a name at a time
  bool makes_ = false;
  std::string head_;  // of the backup
};

}  // namespace

Result<RestoreResult> Restore(const RestoreOptions& options) {
  RestoreJob job(options);
  RETURN_IF_ERROR(job.CheckPlaces());
  RETURN_IF_ERROR(job.Read(/*to_copy=*/true));
  ASSIGN_OR_RETURN(const raft::SnapshotMeta meta, job.Check(job.database()));
  return job.Make(meta.index);
}

Result<LogIndex> VerifyBackup(const RestoreOptions& options) {
  RestoreJob job(options);
  RETURN_IF_ERROR(job.Read(/*to_copy=*/false));
  ASSIGN_OR_RETURN(const raft::SnapshotMeta meta, job.Check(options.backup));
  return meta.index;
}

}  // namespace cairn::server
