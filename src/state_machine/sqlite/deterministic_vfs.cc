#include "state_machine/sqlite/deterministic_vfs.h"

#include <atomic>
#include <cstdlib>
#include <ctime>

#include "base/check.h"

namespace cairn::state_machine {
namespace {

// The Unix epoch in milliseconds of SQLite's Julian day numbers.
constexpr sqlite3_int64 kUnixEpochJulianMs = 210866760000000;
constexpr double kMsPerDay = 86400000.0;

// Nothing here changes the default, so it is the one that every instance was made from.
sqlite3_vfs* Base() {
  static sqlite3_vfs* const base = sqlite3_vfs_find(nullptr);
  return base;
}

std::string NextName() {
  static std::atomic<int> made{0};
  return "cairn-writer-" + std::to_string(made.fetch_add(1));
}

// The system's methods find their own data through the sqlite3_vfs they are given, so each call is
// handed on with theirs.
int Open(sqlite3_vfs* /*vfs*/, sqlite3_filename path, sqlite3_file* file, int flags,
         int* out_flags) {
  return Base()->xOpen(Base(), path, file, flags, out_flags);
}
int Delete(sqlite3_vfs* /*vfs*/, const char* path, int sync) {
  return Base()->xDelete(Base(), path, sync);
}
int Access(sqlite3_vfs* /*vfs*/, const char* path, int flags, int* out) {
  return Base()->xAccess(Base(), path, flags, out);
}
int FullPathname(sqlite3_vfs* /*vfs*/, const char* path, int size, char* out) {
  return Base()->xFullPathname(Base(), path, size, out);
}
int Randomness(sqlite3_vfs* /*vfs*/, int size, char* out) {
  return Base()->xRandomness(Base(), size, out);
}
int Sleep(sqlite3_vfs* /*vfs*/, int microseconds) { return Base()->xSleep(Base(), microseconds); }
int GetLastError(sqlite3_vfs* /*vfs*/, int size, char* out) {
  return Base()->xGetLastError(Base(), size, out);
}

}  // namespace

DeterministicVfs::DeterministicVfs() : name_(NextName()), vfs_(*Base()) {
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

int DeterministicVfs::CurrentTimeInt64(sqlite3_vfs* vfs, sqlite3_int64* julian_ms) {
  *julian_ms = static_cast<DeterministicVfs*>(vfs->pAppData)->wall_ms_ + kUnixEpochJulianMs;
  return SQLITE_OK;
}

int DeterministicVfs::CurrentTime(sqlite3_vfs* vfs, double* julian_day) {
  sqlite3_int64 julian_ms = 0;
  const int rc = CurrentTimeInt64(vfs, &julian_ms);
  *julian_day = static_cast<double>(julian_ms) / kMsPerDay;
  return rc;
}

void UseUtcAsLocalTime() {
  ::setenv("TZ", "UTC", /*overwrite=*/1);
  ::tzset();
}

}  // namespace cairn::state_machine
