// ReadClock: the current time for queries.
//
// The time is that of this node's clock, but never earlier than the latest time that an entry of
// the state gave to SQL. The bad schedule without this rule: this node's clock is behind the
// leader's. A client writes a row with the current time, reads with "at <= now", and does not find
// the row.
//
// SQLite sees a VFS: a copy of another VFS with another time of day.
#pragma once

#include <sqlite3.h>

#include <atomic>
#include <cstdint>
#include <string>

namespace cairn::state_machine {

// Thread-safe. Must outlive all connections that were opened with it.
class ReadClock {
 public:
  // `base` is the name of the VFS that does everything else; null is SQLite's own VFS.
  explicit ReadClock(const char* base);
  ~ReadClock();
  ReadClock(const ReadClock&) = delete;
  ReadClock& operator=(const ReadClock&) = delete;

  const char* name() const { return name_.c_str(); }
  // From now on the state includes an entry of the time `wall_ms` (Unix milliseconds).
  void AtLeast(int64_t wall_ms);

 private:
  // The VFS that SQLite passes to the methods.
  struct Vfs : sqlite3_vfs {
    ReadClock* clock;
  };
  static int CurrentTime(sqlite3_vfs* vfs, double* julian_day);
  static int CurrentTimeInt64(sqlite3_vfs* vfs, sqlite3_int64* julian_ms);
  int64_t JulianNowMs() const;

  sqlite3_vfs* const base_;
  const std::string name_;
  std::atomic<int64_t> latest_julian_ms_{0};
  Vfs vfs_{};
};

}  // namespace cairn::state_machine
