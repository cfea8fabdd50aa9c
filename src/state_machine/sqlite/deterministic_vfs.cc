#include "state_machine/sqlite/deterministic_vfs.h"

#include <cstdlib>
#include <ctime>

#include "base/check.h"
#include "state_machine/sqlite/julian_time.h"
#include "state_machine/sqlite/vfs_name.h"

namespace cairn::state_machine {
namespace {

sqlite3_vfs* FindVfs(const char* name) {
  sqlite3_vfs* const base = sqlite3_vfs_find(name);
  CHECK(base != nullptr) << "SQLite knows no VFS named " << (name == nullptr ? "" : name);
  return base;
}

}  // namespace

DeterministicVfs::DeterministicVfs(const char* base)
    : base_(FindVfs(base)), name_(NextVfsName("cairn-writer-")), vfs_(*base_) {
  vfs_.pNext = nullptr;
  vfs_.zName = name_.c_str();
  vfs_.pAppData = this;
  vfs_.xOpen = &Open;
  vfs_.xDelete = &Delete;
  vfs_.xAccess = &Access;
  vfs_.xFullPathname = &FullPathname;
  // Extensions are never loaded.
  vfs_.xDlOpen = nullptr;
  vfs_.xDlError = nullptr;
  vfs_.xDlSym = nullptr;
  vfs_.xDlClose = nullptr;
  vfs_.xRandomness = &Randomness;
  vfs_.xSleep = &Sleep;
  vfs_.xGetLastError = &GetLastError;
  vfs_.xCurrentTime = &CurrentTime;
  vfs_.xCurrentTimeInt64 = &CurrentTimeInt64;
  vfs_.xSetSystemCall = nullptr;
  vfs_.xGetSystemCall = nullptr;
  vfs_.xNextSystemCall = nullptr;
  const int rc = sqlite3_vfs_register(&vfs_, /*makeDflt=*/0);
  CHECK(rc == SQLITE_OK) << "sqlite3_vfs_register: " << rc;
}

DeterministicVfs::~DeterministicVfs() { sqlite3_vfs_unregister(&vfs_); }

// The base's methods find their data through the sqlite3_vfs that they get, so each call passes the
// base's own.
int DeterministicVfs::Open(sqlite3_vfs* vfs, sqlite3_filename path, sqlite3_file* file, int flags,
                           int* out_flags) {
  sqlite3_vfs* const base = BaseOf(vfs);
  const int rc = base->xOpen(base, path, file, flags, out_flags);
  if (file->pMethods != nullptr) {
    file->pMethods = static_cast<DeterministicVfs*>(vfs->pAppData)->MethodsOver(file->pMethods);
  }
  return rc;
}

const DeterministicVfs::Methods* DeterministicVfs::MethodsOver(const sqlite3_io_methods* base) {
  for (const Methods& known : methods_) {
    if (known.base == base) return &known;
  }
  Methods& made = methods_.emplace_back(Methods{*base, base, this});
  made.xWrite = &Write;
  return &made;
}

int DeterministicVfs::Write(sqlite3_file* file, const void* data, int size, sqlite3_int64 offset) {
  const auto* const methods = static_cast<const Methods*>(file->pMethods);
  const int rc = methods->base->xWrite(file, data, size, offset);
  if (rc != SQLITE_OK) methods->vfs->write_failed_ = true;
  return rc;
}

int DeterministicVfs::Delete(sqlite3_vfs* vfs, const char* path, int sync) {
  sqlite3_vfs* const base = BaseOf(vfs);
  return base->xDelete(base, path, sync);
}
int DeterministicVfs::Access(sqlite3_vfs* vfs, const char* path, int flags, int* out) {
  sqlite3_vfs* const base = BaseOf(vfs);
  return base->xAccess(base, path, flags, out);
}
int DeterministicVfs::FullPathname(sqlite3_vfs* vfs, const char* path, int size, char* out) {
  sqlite3_vfs* const base = BaseOf(vfs);
  return base->xFullPathname(base, path, size, out);
}
int DeterministicVfs::Randomness(sqlite3_vfs* vfs, int size, char* out) {
  sqlite3_vfs* const base = BaseOf(vfs);
  return base->xRandomness(base, size, out);
}
int DeterministicVfs::Sleep(sqlite3_vfs* vfs, int microseconds) {
  sqlite3_vfs* const base = BaseOf(vfs);
  return base->xSleep(base, microseconds);
}
int DeterministicVfs::GetLastError(sqlite3_vfs* vfs, int size, char* out) {
  sqlite3_vfs* const base = BaseOf(vfs);
  return base->xGetLastError(base, size, out);
}

int DeterministicVfs::CurrentTimeInt64(sqlite3_vfs* vfs, sqlite3_int64* julian_ms) {
  *julian_ms = JulianMs(static_cast<DeterministicVfs*>(vfs->pAppData)->wall_ms_);
  return SQLITE_OK;
}

int DeterministicVfs::CurrentTime(sqlite3_vfs* vfs, double* julian_day) {
  *julian_day = JulianDay(static_cast<DeterministicVfs*>(vfs->pAppData)->wall_ms_);
  return SQLITE_OK;
}

void UseUtcAsLocalTime() {
  ::setenv("TZ", "UTC", /*overwrite=*/1);
  ::tzset();
}

}  // namespace cairn::state_machine
