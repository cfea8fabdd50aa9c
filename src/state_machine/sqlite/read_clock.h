// ReadClock: the time that queries take for now.
//
// It is the clock of this node, but never earlier than the latest time that an entry gave to the
// state that is read. The bad schedule without this: the clock of this node is behind the leader's.
// A client writes a row with the time of now, reads with "at <= now", and does not find the row.
//
// To SQLite it is a VFS: a copy of another one, with another time of day.
#pragma once

#include <sqlite3.h>

#include <atomic>
#include <cstdint>
#include <string>

namespace cairn::state_machine {

// Thread-safe. Must outlive all connections that were opened with it.
class ReadClock {
 public:
  // `base` is the name of the VFS that does everything else; null: SQLite's own.
  explicit ReadClock(const char* base);
  ~ReadClock();
  ReadClock(const ReadClock&) = delete;
  ReadClock& operator=(const ReadClock&) = delete;

  const char* name() const { return name_.c_str(); }
  // An entry of the time `wall_ms` (Unix milliseconds) is part of what is read from now on.
  void AtLeast(int64_t wall_ms);

 private:
  // What SQLite gives to the methods of the VFS.
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
