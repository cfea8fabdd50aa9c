// cairn-fault-fs: a FUSE file system that passes everything on to another directory, and fails,
// slows down or lies where it is told to. Serves until it is unmounted or ended.
//
//   cairn-fault-fs BACKING FAULTS MOUNTPOINT
//
// A fault is on while a file of its name lies in the directory FAULTS:
//   fsync-eio, write-eio, read-eio   that call fails with EIO, and does nothing
//   fsync-hang                       no sync ends until the file is gone
//   fsync-slow                       a sync takes as many milliseconds longer as the file says
//   fsync-lie                        a sync says that it is done, and does nothing
//   write-full                       a write that makes a file longer fails with ENOSPC
#define FUSE_USE_VERSION 312

#include <dirent.h>
#include <fcntl.h>
#include <fuse.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>

namespace cairn::cluster_test {
namespace {

constexpr std::chrono::milliseconds kHangLooks(10);
// Calls that hang hold a thread each; the others must find one all the same.
constexpr unsigned kThreads = 64;

std::string backing;
std::string faults;

std::string Real(const char* path) { return backing + path; }
std::string FaultFile(const char* fault) { return faults + "/" + fault; }
bool IsOn(const char* fault) { return ::access(FaultFile(fault).c_str(), F_OK) == 0; }
int ErrorOf(int rc) { return rc < 0 ? -errno : rc; }
int FdOf(const fuse_file_info* file) { return static_cast<int>(file->fh); }

int GetAttr(const char* path, struct stat* out, fuse_file_info* file) {
  return ErrorOf(file != nullptr ? ::fstat(FdOf(file), out) : ::lstat(Real(path).c_str(), out));
}

int OpenDir(const char* path, fuse_file_info* file) {
  const int fd = ::open(Real(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return -errno;
  file->fh = static_cast<uint64_t>(fd);
  return 0;
}

int ReadDir(const char*, void* buffer, fuse_fill_dir_t fill, off_t, fuse_file_info* file,
            fuse_readdir_flags) {
  const int fd = ::openat(FdOf(file), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* dir = fd < 0 ? nullptr : ::fdopendir(fd);
  if (dir == nullptr) return -errno;
  while (const dirent* entry = ::readdir(dir)) {
    fill(buffer, entry->d_name, nullptr, 0, static_cast<fuse_fill_dir_flags>(0));
  }
  ::closedir(dir);
  return 0;
}

int OpenWith(const char* path, int flags, mode_t mode, fuse_file_info* file) {
  const int fd = ::open(Real(path).c_str(), flags | O_CLOEXEC, mode);
  if (fd < 0) return -errno;
  file->fh = static_cast<uint64_t>(fd);
  return 0;
}
int Open(const char* path, fuse_file_info* file) {
  // The kernel has already put the offset right for O_APPEND.
  return OpenWith(path, file->flags & ~O_APPEND, 0, file);
}
int Create(const char* path, mode_t mode, fuse_file_info* file) {
  return OpenWith(path, file->flags & ~O_APPEND, mode, file);
}
int Release(const char*, fuse_file_info* file) { return ErrorOf(::close(FdOf(file))); }

int Read(const char*, char* data, size_t size, off_t at, fuse_file_info* file) {
  if (IsOn("read-eio")) return -EIO;
  return ErrorOf(static_cast<int>(::pread(FdOf(file), data, size, at)));
}

int Write(const char*, const char* data, size_t size, off_t at, fuse_file_info* file) {
  if (IsOn("write-eio")) return -EIO;
  if (IsOn("write-full")) {
    struct stat st {};
    if (::fstat(FdOf(file), &st) == 0 && at + static_cast<off_t>(size) > st.st_size) return -ENOSPC;
  }
  return ErrorOf(static_cast<int>(::pwrite(FdOf(file), data, size, at)));
}

// What may happen to any sync before it is passed on. 1: go on; else the answer.
int MayFailToSync() {
  if (IsOn("fsync-eio")) return -EIO;
  while (IsOn("fsync-hang")) std::this_thread::sleep_for(kHangLooks);
  if (IsOn("fsync-slow")) {
    int ms = 0;
    std::ifstream(FaultFile("fsync-slow")) >> ms;
    std::this_thread::sleep_for(std::chrono::milliseconds(ms));
  }
  return IsOn("fsync-lie") ? 0 : 1;
}

int Fsync(const char*, int data_only, fuse_file_info* file) {
  if (const int answer = MayFailToSync(); answer != 1) return answer;
  return ErrorOf(data_only != 0 ? ::fdatasync(FdOf(file)) : ::fsync(FdOf(file)));
}

int FsyncDir(const char*, int, fuse_file_info* file) {
  if (const int answer = MayFailToSync(); answer != 1) return answer;
  return ErrorOf(::fsync(FdOf(file)));
}

int Truncate(const char* path, off_t size, fuse_file_info* file) {
  return ErrorOf(file != nullptr ? ::ftruncate(FdOf(file), size)
                                 : ::truncate(Real(path).c_str(), size));
}
int Mkdir(const char* path, mode_t mode) { return ErrorOf(::mkdir(Real(path).c_str(), mode)); }
int Unlink(const char* path) { return ErrorOf(::unlink(Real(path).c_str())); }
int Rmdir(const char* path) { return ErrorOf(::rmdir(Real(path).c_str())); }
int Rename(const char* from, const char* to, unsigned flags) {
  if (flags != 0) return -EINVAL;
  return ErrorOf(::rename(Real(from).c_str(), Real(to).c_str()));
}
int Chmod(const char* path, mode_t mode, fuse_file_info* file) {
  return ErrorOf(file != nullptr ? ::fchmod(FdOf(file), mode) : ::chmod(Real(path).c_str(), mode));
}
int Chown(const char* path, uid_t user, gid_t group, fuse_file_info* file) {
  return ErrorOf(file != nullptr ? ::fchown(FdOf(file), user, group)
                                 : ::lchown(Real(path).c_str(), user, group));
}
int Utimens(const char* path, const timespec times[2], fuse_file_info* file) {
  return ErrorOf(file != nullptr
                     ? ::futimens(FdOf(file), times)
                     : ::utimensat(AT_FDCWD, Real(path).c_str(), times, AT_SYMLINK_NOFOLLOW));
}
int StatFs(const char* path, struct statvfs* out) {
  return ErrorOf(::statvfs(Real(path).c_str(), out));
}
int Fallocate(const char*, int mode, off_t at, off_t size, fuse_file_info* file) {
  return ErrorOf(::fallocate(FdOf(file), mode, at, size));
}

void* Init(fuse_conn_info*, fuse_config* config) {
  // Nobody else touches the backing files, but what one name says another must not contradict.
  config->entry_timeout = 0;
  config->attr_timeout = 0;
  config->negative_timeout = 0;
  // An unlinked file lives on in its descriptor, as it does below, but has no path any more.
  config->hard_remove = 1;
  config->nullpath_ok = 1;
  return nullptr;
}

fuse_operations Operations() {
  fuse_operations out{};
  out.getattr = GetAttr;
  out.opendir = OpenDir;
  out.readdir = ReadDir;
  out.releasedir = Release;
  out.open = Open;
  out.create = Create;
  out.release = Release;
  out.read = Read;
  out.write = Write;
  out.fsync = Fsync;
  out.fsyncdir = FsyncDir;
  out.truncate = Truncate;
  out.mkdir = Mkdir;
  out.unlink = Unlink;
  out.rmdir = Rmdir;
  out.rename = Rename;
  out.chmod = Chmod;
  out.chown = Chown;
  out.utimens = Utimens;
  out.statfs = StatFs;
  out.fallocate = Fallocate;
  out.init = Init;
  return out;
}

int Serve(char* program, const char* mountpoint) {
  const fuse_operations operations = Operations();
  char* arguments[] = {program, nullptr};
  fuse_args args = FUSE_ARGS_INIT(1, arguments);
  fuse* handle = fuse_new(&args, &operations, sizeof operations, nullptr);
  if (handle == nullptr || fuse_mount(handle, mountpoint) != 0) return 1;
  fuse_loop_config* config = fuse_loop_cfg_create();
  fuse_loop_cfg_set_clone_fd(config, 0);
  fuse_loop_cfg_set_max_threads(config, kThreads);
  std::puts("mounted");
  std::fflush(stdout);
  const int rc = fuse_loop_mt(handle, config);
  fuse_loop_cfg_destroy(config);
  fuse_unmount(handle);
  fuse_destroy(handle);
  return rc == 0 ? 0 : 1;
}

}  // namespace
}  // namespace cairn::cluster_test

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: %s BACKING FAULTS MOUNTPOINT\n", argv[0]);
    return 2;
  }
  cairn::cluster_test::backing = argv[1];
  cairn::cluster_test::faults = argv[2];
  ::umask(0);
  return cairn::cluster_test::Serve(argv[0], argv[3]);
}
