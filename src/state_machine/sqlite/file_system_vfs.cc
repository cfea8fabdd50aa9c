#include "state_machine/sqlite/file_system_vfs.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/path.h"
#include "state_machine/sqlite/julian_time.h"
#include "state_machine/sqlite/vfs_name.h"

namespace cairn::state_machine {
namespace {

constexpr int kPathBytesMax = 1024;
constexpr int kSectorBytes = 4096;  // what SQLite's own VFS says
constexpr int kShmLocks = SQLITE_SHM_NLOCK;

int CodeOf(const Status& status, int otherwise) {
  if (status.ok()) return SQLITE_OK;
  return status.code() == StatusCode::kResourceExhausted ? SQLITE_FULL : otherwise;
}

class TemporaryFile final : public File {
 public:
  Result<std::string> ReadAt(uint64_t offset, size_t size) const override {
    return offset >= bytes_.size() ? std::string() : bytes_.substr(offset, size);
  }
  Status WriteAt(uint64_t offset, std::string_view data) override {
    if (bytes_.size() < offset + data.size()) bytes_.resize(offset + data.size(), '\0');
    bytes_.replace(offset, data.size(), data);
    return OkStatus();
  }
  Status Sync() override { return OkStatus(); }
  Status Truncate(uint64_t size) override {
    bytes_.resize(size, '\0');
    return OkStatus();
  }
  Result<uint64_t> Size() const override { return static_cast<uint64_t>(bytes_.size()); }

 private:
  std::string bytes_;
};

}  // namespace

// The state that the connections to one database file share.
struct FileSystemVfs::Shared {
  // The lock on the file. Any number of connections may read. One at a time prepares to write
  // (`reserved`), keeps new readers out (`pending`), and writes (`exclusive`).
  int readers = 0;
  const OpenFile* reserved = nullptr;
  const OpenFile* pending = nullptr;
  const OpenFile* exclusive = nullptr;

  // The index of the WAL. Its regions keep their addresses until the last user is gone.
  int shm_users = 0;
  std::vector<std::unique_ptr<char[]>> regions;
  std::array<int, kShmLocks> shm_readers{};
  std::array<const OpenFile*, kShmLocks> shm_writer{};
};

class FileSystemVfs::OpenFile {
 public:
  // `shared` is null except for database files. `new_name`: the first Sync makes the name durable.
  OpenFile(FileSystemVfs& vfs, std::unique_ptr<File> file, std::string path,
           std::shared_ptr<Shared> shared, bool new_name)
      : vfs_(vfs),
        file_(std::move(file)),
        path_(std::move(path)),
        shared_(std::move(shared)),
        new_name_(new_name) {}
  ~OpenFile() {
    Unlock(SQLITE_LOCK_NONE);
    ShmUnmap();
  }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  int Read(void* out, int size, sqlite3_int64 offset) {
    const auto wanted = static_cast<size_t>(size);
    const Result<std::string> bytes = file_->ReadAt(static_cast<uint64_t>(offset), wanted);
    if (!bytes.ok()) return SQLITE_IOERR_READ;
    std::memcpy(out, bytes->data(), bytes->size());
    if (bytes->size() == wanted) return SQLITE_OK;
    // SQLite relies on the zeros.
    std::memset(static_cast<char*>(out) + bytes->size(), 0, wanted - bytes->size());
    return SQLITE_IOERR_SHORT_READ;
  }
  int Write(const void* data, int size, sqlite3_int64 offset) {
    const std::string_view bytes(static_cast<const char*>(data), static_cast<size_t>(size));
    return CodeOf(file_->WriteAt(static_cast<uint64_t>(offset), bytes), SQLITE_IOERR_WRITE);
  }
  int Truncate(sqlite3_int64 size) {
    return CodeOf(file_->Truncate(static_cast<uint64_t>(size)), SQLITE_IOERR_TRUNCATE);
  }
  int Sync() {
    if (!file_->Sync().ok()) return SQLITE_IOERR_FSYNC;
    // SQLite's own VFS does so for a WAL or a journal that it has created, and for no other file.
    if (new_name_ && !vfs_.fs_.SyncDirectory(ParentOf(path_)).ok()) return SQLITE_IOERR_DIR_FSYNC;
    new_name_ = false;
    return SQLITE_OK;
  }
  int Size(sqlite3_int64* out) {
    const Result<uint64_t> size = file_->Size();
    if (!size.ok()) return SQLITE_IOERR_FSTAT;
    *out = static_cast<sqlite3_int64>(size.value());
    return SQLITE_OK;
  }

  int Lock(int level);
  int Unlock(int level);
  bool ReservedByAny();
  int ShmMap(int region, int region_bytes, bool extend, void volatile** out);
  int ShmLock(int first, int count, int flags);
  void ShmBarrier() { MutexLock lock(vfs_.mutex_); }
  int ShmUnmap();

 private:
  void ShmUnlockLocked(int slot);

  FileSystemVfs& vfs_;
  const std::unique_ptr<File> file_;
  const std::string path_;
  const std::shared_ptr<Shared> shared_;
  bool new_name_;
  int level_ = SQLITE_LOCK_NONE;
  bool shm_mapped_ = false;
  std::array<bool, kShmLocks> shm_reading_{};
};

// ---- Locks on the file --------------------------------------------------------------------------

int FileSystemVfs::OpenFile::Lock(int level) {
  if (shared_ == nullptr || level_ >= level) return SQLITE_OK;
  MutexLock lock(vfs_.mutex_);
  Shared& s = *shared_;
  const auto others = [this](const OpenFile* holder) {
    return holder != nullptr && holder != this;
  };
  if (level == SQLITE_LOCK_SHARED) {
    if (others(s.pending) || others(s.exclusive)) return SQLITE_BUSY;
    ++s.readers;
    level_ = level;
    return SQLITE_OK;
  }
  if (others(s.reserved) || others(s.pending)) return SQLITE_BUSY;
  if (level == SQLITE_LOCK_RESERVED) {
    s.reserved = this;
    level_ = level;
    return SQLITE_OK;
  }
  // If readers hold the file, `pending` stays set: they end, and no new ones start.
  s.pending = this;
  level_ = SQLITE_LOCK_PENDING;
  if (s.readers > 1) return SQLITE_BUSY;
  s.exclusive = this;
  level_ = SQLITE_LOCK_EXCLUSIVE;
  return SQLITE_OK;
}

int FileSystemVfs::OpenFile::Unlock(int level) {
  if (shared_ == nullptr || level_ <= level) return SQLITE_OK;
  MutexLock lock(vfs_.mutex_);
  for (const OpenFile** holder : {&shared_->reserved, &shared_->pending, &shared_->exclusive}) {
    if (*holder == this) *holder = nullptr;
  }
  if (level == SQLITE_LOCK_NONE) --shared_->readers;
  level_ = level;
  return SQLITE_OK;
}

bool FileSystemVfs::OpenFile::ReservedByAny() {
  if (shared_ == nullptr) return false;
  MutexLock lock(vfs_.mutex_);
  return shared_->reserved != nullptr || shared_->pending != nullptr;
}

// ---- Shared memory ------------------------------------------------------------------------------

int FileSystemVfs::OpenFile::ShmMap(int region, int region_bytes, bool extend,
                                    void volatile** out) {
  *out = nullptr;
  if (shared_ == nullptr) return SQLITE_IOERR_SHMMAP;
  MutexLock lock(vfs_.mutex_);
  auto& regions = shared_->regions;
  if (!shm_mapped_) ++shared_->shm_users;
  shm_mapped_ = true;
  const auto number = static_cast<size_t>(region);
  if (number >= regions.size() && !extend) return SQLITE_OK;
  while (regions.size() <= number) {
    regions.push_back(std::make_unique<char[]>(static_cast<size_t>(region_bytes)));
  }
  *out = regions[number].get();
  return SQLITE_OK;
}

void FileSystemVfs::OpenFile::ShmUnlockLocked(int slot) {
  const auto i = static_cast<size_t>(slot);
  if (shared_->shm_writer[i] == this) shared_->shm_writer[i] = nullptr;
  if (std::exchange(shm_reading_[i], false)) --shared_->shm_readers[i];
}

int FileSystemVfs::OpenFile::ShmLock(int first, int count, int flags) {
  if (shared_ == nullptr) return SQLITE_IOERR_SHMLOCK;
  MutexLock lock(vfs_.mutex_);
  const bool shared = (flags & SQLITE_SHM_SHARED) != 0;
  if ((flags & SQLITE_SHM_UNLOCK) != 0) {
    for (int slot = first; slot < first + count; ++slot) ShmUnlockLocked(slot);
    return SQLITE_OK;
  }
  for (int slot = first; slot < first + count; ++slot) {
    const auto i = static_cast<size_t>(slot);
    const OpenFile* const writer = shared_->shm_writer[i];
    if (writer != nullptr && writer != this) return SQLITE_BUSY;
    const int other_readers = shared_->shm_readers[i] - (shm_reading_[i] ? 1 : 0);
    if (!shared && other_readers > 0) return SQLITE_BUSY;
  }
  for (int slot = first; slot < first + count; ++slot) {
    const auto i = static_cast<size_t>(slot);
    if (!shared) {
      shared_->shm_writer[i] = this;
    } else if (!std::exchange(shm_reading_[i], true)) {
      ++shared_->shm_readers[i];
    }
  }
  return SQLITE_OK;
}

int FileSystemVfs::OpenFile::ShmUnmap() {
  if (!shm_mapped_) return SQLITE_OK;
  MutexLock lock(vfs_.mutex_);
  for (int slot = 0; slot < kShmLocks; ++slot) ShmUnlockLocked(slot);
  shm_mapped_ = false;
  // The next user finds nothing, and rebuilds the index from the WAL.
  if (--shared_->shm_users == 0) shared_->regions.clear();
  return SQLITE_OK;
}

// ---- SQLite's view of a file --------------------------------------------------------------------

struct FileSystemVfs::Handle {
  sqlite3_file base;
  OpenFile* file;
};

const sqlite3_io_methods* FileSystemVfs::Methods() {
  static const sqlite3_io_methods kMethods = [] {
    const auto of = [](sqlite3_file* f) -> OpenFile& {
      return *reinterpret_cast<Handle*>(f)->file;
    };
    static constexpr auto kOf = of;
    sqlite3_io_methods m{};
    m.iVersion = 2;  // with shared memory, without memory mapping
    m.xClose = [](sqlite3_file* f) {
      delete &kOf(f);
      return SQLITE_OK;
    };
    m.xRead = [](sqlite3_file* f, void* out, int size, sqlite3_int64 offset) {
      return kOf(f).Read(out, size, offset);
    };
    m.xWrite = [](sqlite3_file* f, const void* data, int size, sqlite3_int64 offset) {
      return kOf(f).Write(data, size, offset);
    };
    m.xTruncate = [](sqlite3_file* f, sqlite3_int64 size) { return kOf(f).Truncate(size); };
    m.xSync = [](sqlite3_file* f, int /*flags*/) { return kOf(f).Sync(); };
    m.xFileSize = [](sqlite3_file* f, sqlite3_int64* size) { return kOf(f).Size(size); };
    m.xLock = [](sqlite3_file* f, int level) { return kOf(f).Lock(level); };
    m.xUnlock = [](sqlite3_file* f, int level) { return kOf(f).Unlock(level); };
    m.xCheckReservedLock = [](sqlite3_file* f, int* out) {
      *out = kOf(f).ReservedByAny() ? 1 : 0;
      return SQLITE_OK;
    };
    m.xFileControl = [](sqlite3_file*, int, void*) { return SQLITE_NOTFOUND; };
    m.xSectorSize = [](sqlite3_file*) { return kSectorBytes; };
    // As SQLite's own VFS promises: a write that a power failure cuts short harms no byte beside
    // it.
    m.xDeviceCharacteristics = [](sqlite3_file*) { return SQLITE_IOCAP_POWERSAFE_OVERWRITE; };
    m.xShmMap = [](sqlite3_file* f, int region, int bytes, int extend, void volatile** out) {
      return kOf(f).ShmMap(region, bytes, extend != 0, out);
    };
    m.xShmLock = [](sqlite3_file* f, int first, int count, int flags) {
      return kOf(f).ShmLock(first, count, flags);
    };
    m.xShmBarrier = [](sqlite3_file* f) { kOf(f).ShmBarrier(); };
    m.xShmUnmap = [](sqlite3_file* f, int /*remove*/) { return kOf(f).ShmUnmap(); };
    return m;
  }();
  return &kMethods;
}

// ---- The VFS ------------------------------------------------------------------------------------

FileSystemVfs::FileSystemVfs(FileSystem& fs, Clock& clock, uint64_t seed)
    : fs_(fs), clock_(clock), name_(NextVfsName("cairn-files-")), rng_(seed) {
  vfs_.iVersion = 2;
  vfs_.szOsFile = sizeof(Handle);
  vfs_.mxPathname = kPathBytesMax;
  vfs_.zName = name_.c_str();
  vfs_.pAppData = this;
  vfs_.xOpen = &Open;
  vfs_.xDelete = &Delete;
  vfs_.xAccess = &Access;
  vfs_.xFullPathname = &FullPathname;
  vfs_.xRandomness = &Randomness;
  vfs_.xSleep = &Sleep;
  vfs_.xCurrentTime = &CurrentTime;
  vfs_.xGetLastError = &GetLastError;
  vfs_.xCurrentTimeInt64 = &CurrentTimeInt64;
  const int rc = sqlite3_vfs_register(&vfs_, /*makeDflt=*/0);
  CHECK(rc == SQLITE_OK) << "sqlite3_vfs_register: " << rc;
}

FileSystemVfs::~FileSystemVfs() { sqlite3_vfs_unregister(&vfs_); }

void FileSystemVfs::SeedSqlite(uint32_t seed) {
  CHECK(sqlite3_initialize() == SQLITE_OK);
  sqlite3_test_control(SQLITE_TESTCTRL_PRNG_SEED, static_cast<int>(seed),
                       static_cast<sqlite3*>(nullptr));
}

std::shared_ptr<FileSystemVfs::Shared> FileSystemVfs::SharedOf(const std::string& path) {
  MutexLock lock(mutex_);
  std::erase_if(shared_, [](const auto& each) { return each.second.expired(); });
  std::weak_ptr<Shared>& known = shared_[path];
  std::shared_ptr<Shared> shared = known.lock();
  if (shared == nullptr) known = shared = std::make_shared<Shared>();
  return shared;
}

int FileSystemVfs::Open(sqlite3_vfs* vfs, sqlite3_filename path, sqlite3_file* file, int flags,
                        int* out_flags) {
  FileSystemVfs& self = Of(vfs);
  auto* const handle = reinterpret_cast<Handle*>(file);
  handle->base.pMethods = nullptr;
  handle->file = nullptr;
  if (path == nullptr) {
    handle->file =
        new OpenFile(self, std::make_unique<TemporaryFile>(), std::string(), nullptr, false);
  } else {
    const bool create = (flags & SQLITE_OPEN_CREATE) != 0;
    Result<std::unique_ptr<File>> opened = self.fs_.Open(path, create);
    if (!opened.ok()) return CodeOf(opened.status(), SQLITE_CANTOPEN);
    std::shared_ptr<Shared> shared;
    if ((flags & SQLITE_OPEN_MAIN_DB) != 0) shared = self.SharedOf(path);
    const bool new_name = create && (flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL)) != 0;
    handle->file = new OpenFile(self, std::move(opened).value(), path, std::move(shared), new_name);
  }
  handle->base.pMethods = Methods();
  if (out_flags != nullptr) *out_flags = flags;
  return SQLITE_OK;
}

int FileSystemVfs::Delete(sqlite3_vfs* vfs, const char* path, int sync_directory) {
  FileSystem& fs = Of(vfs).fs_;
  const Result<bool> exists = fs.Exists(path);
  if (exists.ok() && !exists.value()) return SQLITE_IOERR_DELETE_NOENT;
  if (!exists.ok() || !fs.Remove(path).ok()) return SQLITE_IOERR_DELETE;
  if (sync_directory == 0 || fs.SyncDirectory(ParentOf(path)).ok()) return SQLITE_OK;
  return SQLITE_IOERR_DIR_FSYNC;
}

int FileSystemVfs::Access(sqlite3_vfs* vfs, const char* path, int /*flags*/, int* out) {
  // An empty file does not count, as with SQLite's own VFS.
  const Result<uint64_t> size = Of(vfs).fs_.SizeOf(path);
  *out = size.ok() && size.value() > 0 ? 1 : 0;
  if (size.ok() || size.status().code() == StatusCode::kNotFound) return SQLITE_OK;
  return SQLITE_IOERR_ACCESS;
}

int FileSystemVfs::FullPathname(sqlite3_vfs* /*vfs*/, const char* path, int size, char* out) {
  const size_t bytes = std::strlen(path) + 1;
  if (bytes > static_cast<size_t>(size)) return SQLITE_CANTOPEN;
  std::memcpy(out, path, bytes);
  return SQLITE_OK;
}

int FileSystemVfs::Randomness(sqlite3_vfs* vfs, int size, char* out) {
  FileSystemVfs& self = Of(vfs);
  MutexLock lock(self.mutex_);
  for (int i = 0; i < size; ++i) out[i] = static_cast<char>(self.rng_.Next());
  return size;
}

// A wait lets another thread run. It does not advance virtual time.
int FileSystemVfs::Sleep(sqlite3_vfs* /*vfs*/, int microseconds) {
  std::this_thread::yield();
  return microseconds;
}

int FileSystemVfs::CurrentTimeInt64(sqlite3_vfs* vfs, sqlite3_int64* julian_ms) {
  *julian_ms = JulianMs(Of(vfs).clock_.WallNowMs());
  return SQLITE_OK;
}

int FileSystemVfs::CurrentTime(sqlite3_vfs* vfs, double* julian_day) {
  *julian_day = JulianDay(Of(vfs).clock_.WallNowMs());
  return SQLITE_OK;
}

int FileSystemVfs::GetLastError(sqlite3_vfs* /*vfs*/, int /*size*/, char* /*out*/) { return 0; }

}  // namespace cairn::state_machine
