#include "server/data_directory.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <utility>

#include "node/identity_file.h"

namespace cairn::server {
namespace {

// How a SQLite file begins (https://www.sqlite.org/fileformat2.html, section 1.3.1).
constexpr std::string_view kSqliteMagic("SQLite format 3\0", 16);

std::string ParentOf(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

Status CheckAccess(const std::string& path, int mode) {
  if (::access(path.c_str(), mode) != 0) return ErrnoStatus(path, errno);
  return OkStatus();
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
    return InvalidArgument("the data base needs a file name");
  }
  const std::string parent = ParentOf(db_path);
  RETURN_IF_ERROR(CheckAccess(parent, W_OK | X_OK));
  ASSIGN_OR_RETURN(const bool exists, fs.Exists(db_path));
  if (exists) RETURN_IF_ERROR(CheckSqliteFile(fs, db_path));
  const std::string root = db_path + ".cairn";
  ASSIGN_OR_RETURN(const bool has_root, fs.Exists(root));
  if (has_root) RETURN_IF_ERROR(CheckAccess(root, R_OK | W_OK | X_OK));
  return OkStatus();
}

Result<std::unique_ptr<DataDirectory>> DataDirectory::Open(FileSystem& fs,
                                                           const std::string& db_path,
                                                           uint64_t node_id) {
  std::unique_ptr<DataDirectory> directory(new DataDirectory(db_path));
  RETURN_IF_ERROR(directory->Make(fs, node_id));
  return directory;
}

Status DataDirectory::Make(FileSystem& fs, uint64_t node_id) {
  ASSIGN_OR_RETURN(const bool has_root, fs.Exists(root_));
  if (!has_root) RETURN_IF_ERROR(fs.CreateDirectories(root_));
  ASSIGN_OR_RETURN(lock_, node::DataLock::Acquire(root_));
  // Only under the lock is it ours to remove.
  if (!has_root) made_.push_back(root_);
  ASSIGN_OR_RETURN(const bool has_identity, fs.Exists(node::IdentityPath(root_)));
  if (has_identity) {
    // Before the log is opened: opening may cut its torn end, and it may be another node's.
    ASSIGN_OR_RETURN(const node::IdentityRecord identity,
                     node::LoadOrCreateIdentity(fs, root_, node_id, /*nonce=*/1));
  }
  ASSIGN_OR_RETURN(const bool has_db, fs.Exists(db_path_));
  if (!has_db) {
    for (const char* suffix : {"", "-wal", "-shm"}) made_.push_back(db_path_ + suffix);
  }
  RETURN_IF_ERROR(fs.CreateDirectories(log()));
  return fs.CreateDirectories(snapshot());
}

DataDirectory::~DataDirectory() {
  if (keep_) return;
  std::error_code ignored;  // best effort: the caller already reports why nothing was started
  for (const std::string& path : made_) std::filesystem::remove_all(path, ignored);
}

}  // namespace cairn::server
