#include "state_machine/sqlite/temporary_files.h"

#include <algorithm>

#include "base/check.h"
#include "state_machine/sqlite/vfs_name.h"

namespace cairn::state_machine {

Status NoRoomToSort() {
  return ResourceExhausted(
      "the query sorts or keeps more rows than the temporary files of queries may hold; add an "
      "index, a WHERE or a LIMIT");
}

struct TemporaryFiles::File : sqlite3_file {
  TemporaryFiles* files;
  uint64_t size;

  static File* Of(sqlite3_file* file) { return static_cast<File*>(file); }
  sqlite3_file* base() { return reinterpret_cast<sqlite3_file*>(this + 1); }

  static int Close(sqlite3_file* file) {
    File* const self = Of(file);
    self->files->bytes_ -= self->size;
    return self->base()->pMethods->xClose(self->base());
  }
  static int Read(sqlite3_file* file, void* data, int size, sqlite3_int64 offset) {
    return Of(file)->base()->pMethods->xRead(Of(file)->base(), data, size, offset);
  }
  static int Write(sqlite3_file* file, const void* data, int size, sqlite3_int64 offset) {
    File* const self = Of(file);
    const uint64_t end = static_cast<uint64_t>(offset) + static_cast<uint64_t>(size);
    if (end > self->size) {
      if (!self->files->Grow(self->size, end - self->size)) return SQLITE_FULL;
      self->size = end;
    }
    return self->base()->pMethods->xWrite(self->base(), data, size, offset);
  }
  static int Truncate(sqlite3_file* file, sqlite3_int64 size) {
    File* const self = Of(file);
    const int rc = self->base()->pMethods->xTruncate(self->base(), size);
    const uint64_t kept = std::min(self->size, static_cast<uint64_t>(size));
    if (rc == SQLITE_OK) self->files->bytes_ -= self->size - kept;
    if (rc == SQLITE_OK) self->size = kept;
    return rc;
  }
  static int Sync(sqlite3_file* file, int flags) {
    return Of(file)->base()->pMethods->xSync(Of(file)->base(), flags);
  }
  static int FileSize(sqlite3_file* file, sqlite3_int64* size) {
    return Of(file)->base()->pMethods->xFileSize(Of(file)->base(), size);
  }
  // No other process sees a temporary file.
  static int Lock(sqlite3_file* /*file*/, int /*level*/) { return SQLITE_OK; }
  static int CheckReservedLock(sqlite3_file* /*file*/, int* held) {
    *held = 0;
    return SQLITE_OK;
  }
  // A hint of the size to come would be written without a count.
  static int FileControl(sqlite3_file* /*file*/, int /*operation*/, void* /*argument*/) {
    return SQLITE_NOTFOUND;
  }
  static int SectorSize(sqlite3_file* file) {
    return Of(file)->base()->pMethods->xSectorSize(Of(file)->base());
  }
  static int Characteristics(sqlite3_file* file) {
    return Of(file)->base()->pMethods->xDeviceCharacteristics(Of(file)->base());
  }

  static const sqlite3_io_methods* Methods() {
    static const sqlite3_io_methods kMethods = [] {
      sqlite3_io_methods methods{};
      methods.iVersion = 1;
      methods.xClose = &Close;
      methods.xRead = &Read;
      methods.xWrite = &Write;
      methods.xTruncate = &Truncate;
      methods.xSync = &Sync;
      methods.xFileSize = &FileSize;
      methods.xLock = &Lock;
      methods.xUnlock = &Lock;
      methods.xCheckReservedLock = &CheckReservedLock;
      methods.xFileControl = &FileControl;
      methods.xSectorSize = &SectorSize;
      methods.xDeviceCharacteristics = &Characteristics;
      return methods;
    }();
    return &kMethods;
  }
};

TemporaryFiles::TemporaryFiles(const TemporaryFilesOptions& options)
    : base_(sqlite3_vfs_find(options.base)),
      name_(NextVfsName("cairn-temporary-files-")),
      options_(options) {
  CHECK(base_ != nullptr) << "SQLite has no VFS of the name";
  static_cast<sqlite3_vfs&>(vfs_) = *base_;
  vfs_.pNext = nullptr;
  vfs_.zName = name_.c_str();
  vfs_.szOsFile = base_->szOsFile + static_cast<int>(sizeof(File));
  vfs_.xOpen = &Open;
  // The base's methods find their clock through the sqlite3_vfs that they get.
  vfs_.xCurrentTime = &CurrentTime;
  vfs_.xCurrentTimeInt64 = &CurrentTimeInt64;
  vfs_.files = this;
  const int rc = sqlite3_vfs_register(&vfs_, /*makeDflt=*/0);
  CHECK(rc == SQLITE_OK) << "sqlite3_vfs_register: " << rc;
}

TemporaryFiles::~TemporaryFiles() { sqlite3_vfs_unregister(&vfs_); }

bool TemporaryFiles::Grow(uint64_t size, uint64_t more) {
  if (size + more > options_.file_bytes_max) return false;
  if (bytes_.fetch_add(more) + more <= options_.bytes_max) return true;
  bytes_ -= more;
  return false;
}

int TemporaryFiles::CurrentTime(sqlite3_vfs* vfs, double* julian_day) {
  sqlite3_vfs* const base = static_cast<Vfs*>(vfs)->files->base_;
  return base->xCurrentTime(base, julian_day);
}

int TemporaryFiles::CurrentTimeInt64(sqlite3_vfs* vfs, sqlite3_int64* julian_ms) {
  sqlite3_vfs* const base = static_cast<Vfs*>(vfs)->files->base_;
  return base->xCurrentTimeInt64(base, julian_ms);
}

int TemporaryFiles::Open(sqlite3_vfs* vfs, sqlite3_filename path, sqlite3_file* file, int flags,
                         int* out_flags) {
  TemporaryFiles* const files = static_cast<Vfs*>(vfs)->files;
  // Files with a name are the base's own.
  if ((flags & SQLITE_OPEN_DELETEONCLOSE) == 0) {
    return files->base_->xOpen(files->base_, path, file, flags, out_flags);
  }
  auto* const counted = static_cast<File*>(file);
  counted->pMethods = nullptr;
  counted->files = files;
  counted->size = 0;
  counted->base()->pMethods = nullptr;
  const int rc = files->base_->xOpen(files->base_, path, counted->base(), flags, out_flags);
  if (rc == SQLITE_OK) counted->pMethods = File::Methods();
  return rc;
}

}  // namespace cairn::state_machine
