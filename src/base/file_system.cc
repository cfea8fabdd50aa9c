#include "base/file_system.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "base/path.h"

namespace cairn {
namespace {

class PosixFile final : public File {
 public:
  PosixFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  ~PosixFile() override { ::close(fd_); }
  PosixFile(const PosixFile&) = delete;
  PosixFile& operator=(const PosixFile&) = delete;

  Result<std::string> ReadAt(uint64_t offset, size_t size) const override {
    std::string out(size, '\0');
    size_t done = 0;
    while (done < size) {
      const ssize_t n =
          ::pread(fd_, out.data() + done, size - done, static_cast<off_t>(offset + done));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return ErrnoStatus("read " + path_, errno);
      if (n == 0) break;
      done += static_cast<size_t>(n);
    }
    out.resize(done);
    return out;
  }

  Status WriteAt(uint64_t offset, std::string_view data) override {
    while (!data.empty()) {
      const ssize_t n = ::pwrite(fd_, data.data(), data.size(), static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return ErrnoStatus("write " + path_, errno);
      data.remove_prefix(static_cast<size_t>(n));
      offset += static_cast<uint64_t>(n);
    }
    return OkStatus();
  }

  Status Sync() override {
    if (::fdatasync(fd_) != 0) return ErrnoStatus("fdatasync " + path_, errno);
    return OkStatus();
  }

  void StartSync(uint64_t offset, size_t size) override {
    ::sync_file_range(fd_, static_cast<off_t>(offset), static_cast<off_t>(size),
                      SYNC_FILE_RANGE_WRITE);
  }

  Status Truncate(uint64_t size) override {
    if (::ftruncate(fd_, static_cast<off_t>(size)) != 0) {
      return ErrnoStatus("truncate " + path_, errno);
    }
    return OkStatus();
  }

  Result<uint64_t> Size() const override {
    struct stat st {};
    if (::fstat(fd_, &st) != 0) return ErrnoStatus("stat " + path_, errno);
    return static_cast<uint64_t>(st.st_size);
  }

 private:
  const int fd_;
  const std::string path_;
};

class Posix final : public FileSystem {
 public:
  Result<std::unique_ptr<File>> Open(const std::string& path, bool create) override {
    const int flags = O_RDWR | O_CLOEXEC | (create ? O_CREAT : 0);
    const int fd = ::open(path.c_str(), flags, 0600);
    if (fd < 0) return ErrnoStatus("open " + path, errno);
    return std::unique_ptr<File>(std::make_unique<PosixFile>(fd, path));
  }

  Result<bool> Exists(const std::string& path) override {
    struct stat st {};
    if (::stat(path.c_str(), &st) == 0) return true;
    if (errno == ENOENT || errno == ENOTDIR) return false;
    return ErrnoStatus("stat " + path, errno);
  }

  Result<uint64_t> SizeOf(const std::string& path) override {
    struct stat st {};
    if (::stat(path.c_str(), &st) == 0) return static_cast<uint64_t>(st.st_size);
    if (errno == ENOTDIR) errno = ENOENT;
    return ErrnoStatus("stat " + path, errno);
  }

  Result<std::vector<std::string>> List(const std::string& directory) override {
    DIR* dir = ::opendir(directory.c_str());
    if (dir == nullptr) return ErrnoStatus("list " + directory, errno);
    std::vector<std::string> names;
    while (const dirent* entry = ::readdir(dir)) {
      const std::string name = entry->d_name;
      if (name != "." && name != "..") names.push_back(name);
    }
    ::closedir(dir);
    std::sort(names.begin(), names.end());
    return names;
  }

  Status CreateDirectories(const std::string& path) override {
    ASSIGN_OR_RETURN(const bool exists, Exists(path));
    if (exists) return OkStatus();
    const std::string parent = ParentOf(path);
    if (parent != path) RETURN_IF_ERROR(CreateDirectories(parent));
    if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
      return ErrnoStatus("mkdir " + path, errno);
    }
    return SyncDirectory(parent);
  }

  Status Rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) {
      return ErrnoStatus("rename " + from + " to " + to, errno);
    }
    return OkStatus();
  }

  Status CopyMode(const std::string& from, const std::string& to) override {
    struct stat st {};
    if (::stat(from.c_str(), &st) != 0) {
      return errno == ENOENT ? OkStatus() : ErrnoStatus("stat " + from, errno);
    }
    // A process that is not root cannot give a file away; the file then keeps its owner. chown
    // comes before chmod, because a change of the owner clears some bits of the mode.
    if (::chown(to.c_str(), st.st_uid, st.st_gid) != 0 && errno != EPERM) {
      return ErrnoStatus("chown " + to, errno);
    }
    if (::chmod(to.c_str(), st.st_mode & 07777) != 0) return ErrnoStatus("chmod " + to, errno);
    return OkStatus();
  }

  Status Remove(const std::string& path) override {
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
      return ErrnoStatus("remove " + path, errno);
    }
    return OkStatus();
  }

  Status SyncDirectory(const std::string& directory) override {
    const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return ErrnoStatus("open " + directory, errno);
    const int rc = ::fsync(fd);
    const int error = errno;
    ::close(fd);
    if (rc != 0) return ErrnoStatus("fsync " + directory, error);
    return OkStatus();
  }

  Result<uint64_t> FreeBytes(const std::string& path) override {
    struct statvfs st {};
    if (::statvfs(path.c_str(), &st) != 0) return ErrnoStatus("statvfs " + path, errno);
    return static_cast<uint64_t>(st.f_bavail) * st.f_frsize;
  }
};

}  // namespace

Result<uint64_t> FileSystem::SizeOf(const std::string& path) {
  ASSIGN_OR_RETURN(const std::unique_ptr<File> file, Open(path, /*create=*/false));
  return file->Size();
}

FileSystem& PosixFileSystem() {
  static Posix fs;
  return fs;
}

Status WriteFileAtomically(FileSystem& fs, const std::string& path, std::string_view data) {
  const std::string temporary = path + ".tmp";
  {
    ASSIGN_OR_RETURN(std::unique_ptr<File> file, fs.Open(temporary, /*create=*/true));
    RETURN_IF_ERROR(file->Truncate(0));
    RETURN_IF_ERROR(file->WriteAt(0, data));
    RETURN_IF_ERROR(file->Sync());
  }
  RETURN_IF_ERROR(fs.Rename(temporary, path));
  return fs.SyncDirectory(ParentOf(path));
}

Result<std::string> ReadWholeFile(FileSystem& fs, const std::string& path, size_t size_max) {
  ASSIGN_OR_RETURN(std::unique_ptr<File> file, fs.Open(path, /*create=*/false));
  ASSIGN_OR_RETURN(const uint64_t size, file->Size());
  if (size > size_max) {
    return InvalidArgument(path + " is " + std::to_string(size) + " bytes; at most " +
                           std::to_string(size_max) + " are expected");
  }
  return file->ReadAt(0, size);
}

}  // namespace cairn
