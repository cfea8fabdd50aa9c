#include "server/data_directory.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <utility>

#include "base/log.h"
#include "base/path.h"
#include "node/boot_file.h"
#include "node/identity_file.h"
#include "state_machine/sqlite/sqlite_state_machine.h"

namespace cairn::server {
namespace {

// How a SQLite file begins (https://www.sqlite.org/fileformat2.html, section 1.3.1).
constexpr std::string_view kSqliteMagic("SQLite format 3\0", 16);

Status CheckAccess(const std::string& path, int mode) {
  if (::access(path.c_str(), mode) != 0) return ErrnoStatus(path, errno);
  return OkStatus();
}

// The file that a path leads to in the end. The file need not exist.
Result<std::string> FollowLinks(std::string path) {
  constexpr int kLinksMax = 40;  // the kernel's limit
  for (int links = 0; links < kLinksMax; ++links) {
    std::error_code error;
    if (!std::filesystem::is_symlink(path, error)) return path;
    const std::filesystem::path target = std::filesystem::read_symlink(path, error);
    if (error) return ErrnoStatus(path, error.value());
    path = (std::filesystem::path(ParentOf(path)) / target).string();
  }
  return ErrnoStatus(path, ELOOP);
}

Result<bool> OnOneFileSystem(const std::string& a, const std::string& b) {
  struct stat of_a {};
  struct stat of_b {};
  if (::stat(a.c_str(), &of_a) != 0) return ErrnoStatus(a, errno);
  if (::stat(b.c_str(), &of_b) != 0) return ErrnoStatus(b, errno);
  return of_a.st_dev == of_b.st_dev;
}

Status CheckSqliteFile(FileSystem& fs, const std::string& path) {
  struct stat st {};
  if (::stat(path.c_str(), &st) != 0) return ErrnoStatus(path, errno);
  if (!S_ISREG(st.st_mode)) return FailedPrecondition(path + " is not a regular file");
  RETURN_IF_ERROR(CheckAccess(path, R_OK | W_OK));
  ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs.Open(path, /*create=*/false));
  ASSIGN_OR_RETURN(const std::string head, file->ReadAt(0, kSqliteMagic.size()));
  if (!head.empty() && head != kSqliteMagic) {
    return FailedPrecondition(path + " is not a SQLite file");
  }
  return OkStatus();
}

}  // namespace

Status DataDirectory::Check(FileSystem& fs, const std::string& db_path) {
  if (db_path.empty() || db_path.back() == '/') {
    return InvalidArgument("the database needs a file name");
  }
  const std::string parent = ParentOf(db_path);
  RETURN_IF_ERROR(CheckAccess(parent, W_OK | X_OK));
  ASSIGN_OR_RETURN(const std::string database, FollowLinks(db_path));
  RETURN_IF_ERROR(CheckAccess(ParentOf(database), W_OK | X_OK));
  ASSIGN_OR_RETURN(const bool exists, fs.Exists(database));
  if (exists) RETURN_IF_ERROR(CheckSqliteFile(fs, database));
  const std::string root = db_path + ".cairn";
  ASSIGN_OR_RETURN(const bool has_root, fs.Exists(root));
  if (has_root) RETURN_IF_ERROR(CheckAccess(root, R_OK | W_OK | X_OK));
  return OkStatus();
}

Result<std::unique_ptr<DataDirectory>> DataDirectory::Open(FileSystem& fs,
                                                           const std::string& db_path,
                                                           uint64_t node_id, bool lists_others,
                                                           uint64_t free_bytes_min) {
  ASSIGN_OR_RETURN(std::string database, FollowLinks(db_path));
  std::unique_ptr<DataDirectory> directory(
      new DataDirectory(db_path, std::move(database), free_bytes_min));
  RETURN_IF_ERROR(directory->Make(fs, node_id, lists_others));
  return directory;
}

// So many sets of data are put aside. Past that the last one gives way: the first may hold what was
// written before anything went wrong.
constexpr int kCopiesMax = 4;

// FILE.copy.cairn for FILE.cairn, with what stands for the set in the place of ".copy".
std::string CopyOf(const std::string& root, const std::string& set) {
  constexpr std::string_view kSuffix = ".cairn";
  return root.substr(0, root.size() - kSuffix.size()) + set + std::string(kSuffix);
}

// ".copy", ".copy2" and so on: the first that is free. The database is put aside first, and the
// directory last: a set that has only the one, while the other is still in its place, is what a
// start that was cut short has left, and is the one to go on with.
Result<std::string> FreeSet(FileSystem& fs, const std::string& database, const std::string& root) {
  ASSIGN_OR_RETURN(const bool begins, fs.Exists(database));
  std::string set = ".copy";
  for (int n = 1; n <= kCopiesMax; ++n) {
    set = n == 1 ? ".copy" : ".copy" + std::to_string(n);
    ASSIGN_OR_RETURN(const bool has_root, fs.Exists(CopyOf(root, set)));
    ASSIGN_OR_RETURN(const bool has_database, fs.Exists(database + set));
    if (!has_root && !(begins && has_database)) break;
  }
  return set;
}

uint64_t SizeOrZero(FileSystem& fs, const std::string& path) {
  const Result<uint64_t> size = fs.SizeOf(path);
  return size.ok() ? *size : 0;
}

// One set of data that were put aside.
struct SetAside {
  std::string database;
  std::string root;
};

// The oldest first. A name is used again once its set is removed, so the name does not tell the
// age.
std::vector<SetAside> SetsAside(const std::string& database, const std::string& root) {
  std::vector<std::pair<std::filesystem::file_time_type, SetAside>> found;
  for (int n = 1; n <= kCopiesMax; ++n) {
    const std::string set = n == 1 ? ".copy" : ".copy" + std::to_string(n);
    SetAside aside{database + set, CopyOf(root, set)};
    std::error_code failed;
    // Without its directory it is what a start that was cut short has begun to put aside.
    const auto time = std::filesystem::last_write_time(aside.root, failed);
    if (!failed) found.emplace_back(time, std::move(aside));
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<SetAside> sets;
  for (auto& [time, set] : found) sets.push_back(std::move(set));
  return sets;
}

// The directory goes last: a set without one is not found again.
Status RemoveSet(const SetAside& set) {
  for (const std::string& path :
       {set.database, set.database + "-wal", set.database + "-shm", set.root}) {
    std::error_code failed;
    std::filesystem::remove_all(path, failed);
    if (failed) return ErrnoStatus("remove " + path, failed.value());
  }
  return OkStatus();
}

// The directory that will take the place of the one that is put aside.
std::string FreshOf(const std::string& root) { return root + ".new"; }

// The cluster will send this node a database of about `database_bytes`. The bad schedule without
// this: what was put aside fills the disk, and the node never comes back.
Status DataDirectory::MakeRoom(FileSystem& fs, uint64_t database_bytes) {
  for (const SetAside& set : SetsAside(database_, root_)) {
    ASSIGN_OR_RETURN(const uint64_t free, fs.FreeBytes(ParentOf(database_)));
    if (free >= free_bytes_min_ && free - free_bytes_min_ >= database_bytes) return OkStatus();
    LOG_WARN(
        "{} bytes are free, and this node needs {} beside a reserve of {}: data that were put "
        "aside "
        "are removed file={}",
        free, database_bytes, free_bytes_min_, set.database);
    RETURN_IF_ERROR(RemoveSet(set));
  }
  return OkStatus();
}

// The directory moves after the files. It holds the note, so the next start takes up a start that
// is cut short. The directory that takes its place exists before, and says that its node founds no
// cluster.
Status DataDirectory::PutAsideCopy(FileSystem& fs, bool lists_others) {
  if (!lists_others) {
    return FailedPrecondition(
        database_ +
        " is a copy of a member's data, or was set back, and has no part in the cluster any more. "
        "Start this node with --peers that name members of its cluster: its data are put aside, "
        "and the cluster lets it in anew");
  }
  const uint64_t bytes = SizeOrZero(fs, database_) + SizeOrZero(fs, database_ + "-wal");
  RETURN_IF_ERROR(MakeRoom(fs, bytes));
  ASSIGN_OR_RETURN(const std::string set, FreeSet(fs, database_, root_));
  const std::string aside = database_ + set;
  LOG_WARN("these data are a copy of a member's, or were set back: they are put aside file={}",
           aside);
  const std::string fresh = FreshOf(root_);
  RETURN_IF_ERROR(fs.CreateDirectories(fresh));
  RETURN_IF_ERROR(node::RememberToJoin(fs, fresh));
  const std::pair<std::string, std::string> moves[] = {{database_, aside},
                                                       {database_ + "-wal", aside + "-wal"},
                                                       {database_ + "-shm", aside + "-shm"},
                                                       {root_, CopyOf(root_, set)},
                                                       {fresh, root_}};
  for (const auto& [from, to] : moves) {
    std::error_code failed;
    if (!std::filesystem::exists(from, failed)) continue;
    std::filesystem::remove_all(to, failed);
    if (!failed) std::filesystem::rename(from, to, failed);
    if (failed) return ErrnoStatus("put aside " + from, failed.value());
  }
  // Now the set that was just put aside is one of them, and the last to be removed.
  RETURN_IF_ERROR(MakeRoom(fs, bytes));
  RETURN_IF_ERROR(fs.SyncDirectory(ParentOf(root_)));
  return fs.SyncDirectory(ParentOf(database_));
}

Status DataDirectory::Make(FileSystem& fs, uint64_t node_id, bool lists_others) {
  ASSIGN_OR_RETURN(bool has_root, fs.Exists(root_));
  if (!has_root) {
    ASSIGN_OR_RETURN(has_root, fs.Exists(FreshOf(root_)));
    // A start was cut short between two renames.
    if (has_root) RETURN_IF_ERROR(fs.Rename(FreshOf(root_), root_));
  }
  if (!has_root) RETURN_IF_ERROR(fs.CreateDirectories(root_));
  ASSIGN_OR_RETURN(lock_, node::DataLock::Acquire(root_));
  ASSIGN_OR_RETURN(const bool copy, node::IsCopy(fs, root_));
  if (copy) {
    RETURN_IF_ERROR(PutAsideCopy(fs, lists_others));
    ASSIGN_OR_RETURN(lock_, node::DataLock::Acquire(root_));
  }
  ASSIGN_OR_RETURN(must_join_, node::MustJoin(fs, root_));
  // Only a process that holds the lock may remove the directory.
  if (!has_root) made_.push_back(root_);
  ASSIGN_OR_RETURN(has_identity_, fs.Exists(node::IdentityPath(root_)));
  if (has_identity_) {
    // Checked before the log is opened: opening may cut its torn end, and the log may be another
    // node's.
    ASSIGN_OR_RETURN(const node::IdentityRecord identity,
                     node::LoadOrCreateIdentity(fs, root_, node_id, /*nonce=*/1));
  }
  ASSIGN_OR_RETURN(const bool has_db, fs.Exists(database_));
  for (const char* suffix : {"-wal", "-shm"}) {
    const std::string path = database_ + suffix;
    ASSIGN_OR_RETURN(const bool there, fs.Exists(path));
    if (!there) (has_db ? not_there_ : made_).push_back(path);
  }
  if (!has_db) made_.push_back(database_);
  RETURN_IF_ERROR(fs.CreateDirectories(log()));
  RETURN_IF_ERROR(MakeSnapshotDirectory(fs));
  // The entries may be of a start that ended before it synced them. The directory of the database
  // is synced when the database is opened.
  return fs.SyncDirectory(root_);
}

Status DataDirectory::MakeSnapshotDirectory(FileSystem& fs) {
  snapshot_ = root_ + "/snapshot";
  RETURN_IF_ERROR(fs.CreateDirectories(snapshot_));
  ASSIGN_OR_RETURN(const bool beside, OnOneFileSystem(snapshot_, ParentOf(database_)));
  if (beside) return OkStatus();
  snapshot_ = database_ + ".snapshot";
  ASSIGN_OR_RETURN(const bool exists, fs.Exists(snapshot_));
  if (!exists) made_.push_back(snapshot_);
  return fs.CreateDirectories(snapshot_);
}

Status DataDirectory::CheckNotAlone() const {
  if (has_identity_) return OkStatus();
  ASSIGN_OR_RETURN(const auto file, state_machine::SummaryOfDataFile(database_));
  // A database at 0 is left from a start that was cut short before it made the identity.
  if (file.applied.is_none()) return OkStatus();
  return FailedPrecondition(database_ + " is the database of a node, as of index " +
                            ToString(file.applied) + ", but its identity is not in " + root_ +
                            ": a database needs the directory that was made with it. Put that "
                            "directory back beside the database. Or start this node empty, with "
                            "another --db: its cluster lets it in, or it is given the data as SQL");
}

DataDirectory::~DataDirectory() {
  if (keep_) return;
  std::error_code ignored;  // best effort: the caller already reports why nothing was started
  for (const std::string& path : made_) std::filesystem::remove_all(path, ignored);
  // A WAL that is not empty is part of the database now, whoever wrote it.
  for (const std::string& path : not_there_) {
    const bool is_wal = path.ends_with("-wal");
    if (is_wal && std::filesystem::file_size(path, ignored) != 0) continue;
    std::filesystem::remove(path, ignored);
  }
}

}  // namespace cairn::server
