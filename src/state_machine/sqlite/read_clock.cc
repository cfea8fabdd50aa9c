#include "state_machine/sqlite/read_clock.h"

#include <algorithm>

#include "base/check.h"
#include "state_machine/sqlite/julian_time.h"
#include "state_machine/sqlite/vfs_name.h"

namespace cairn::state_machine {
namespace {

constexpr double kMsPerDay = 86400000.0;

}  // namespace

ReadClock::ReadClock(const char* base)
    : base_(sqlite3_vfs_find(base)), name_(NextVfsName("cairn-read-clock-")) {
  CHECK(base_ != nullptr) << "SQLite has no VFS of the name";
  CHECK(base_->iVersion >= 2) << "the VFS has no exact time";
  static_cast<sqlite3_vfs&>(vfs_) = *base_;
  vfs_.pNext = nullptr;
  vfs_.zName = name_.c_str();
  vfs_.xCurrentTime = &CurrentTime;
  vfs_.xCurrentTimeInt64 = &CurrentTimeInt64;
  vfs_.clock = this;
  const int rc = sqlite3_vfs_register(&vfs_, /*makeDflt=*/0);
  CHECK(rc == SQLITE_OK) << "sqlite3_vfs_register: " << rc;
}

ReadClock::~ReadClock() { sqlite3_vfs_unregister(&vfs_); }

void ReadClock::AtLeast(int64_t wall_ms) {
  const int64_t julian_ms = JulianMs(wall_ms);
  int64_t before = latest_julian_ms_.load();
  while (before < julian_ms && !latest_julian_ms_.compare_exchange_weak(before, julian_ms)) {
  }
}

int64_t ReadClock::JulianNowMs() const {
  sqlite3_int64 now = 0;
  base_->xCurrentTimeInt64(base_, &now);
  return std::max<int64_t>(now, latest_julian_ms_.load());
}

int ReadClock::CurrentTimeInt64(sqlite3_vfs* vfs, sqlite3_int64* julian_ms) {
  *julian_ms = static_cast<Vfs*>(vfs)->clock->JulianNowMs();
  return SQLITE_OK;
}

int ReadClock::CurrentTime(sqlite3_vfs* vfs, double* julian_day) {
  *julian_day = static_cast<double>(static_cast<Vfs*>(vfs)->clock->JulianNowMs()) / kMsPerDay;
  return SQLITE_OK;
}

}  // namespace cairn::state_machine
