// A VFS that is the operating system's but for the time of day.
//
// CURRENT_TIMESTAMP defaults and datetime('now') in triggers and views ask the VFS of their
// connection for the time, so here, and only here, it can be made the time that the leader stamped
// into the entry: rewriting the text of statements cannot reach them.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <string>

namespace cairn::state_machine {

// One owner, one connection, one thread. Must outlive the connection that is opened with it.
class DeterministicVfs {
 public:
  // Registers itself with SQLite under a name of its own, never as the default.
  DeterministicVfs();
  ~DeterministicVfs();
  DeterministicVfs(const DeterministicVfs&) = delete;
  DeterministicVfs& operator=(const DeterministicVfs&) = delete;

  // For sqlite3_open_v2.
  const char* name() const { return name_.c_str(); }
  // Unix milliseconds, UTC; what SQL sees as now until the next call.
  void SetTime(int64_t wall_ms) { wall_ms_ = wall_ms; }

 private:
  static int CurrentTime(sqlite3_vfs* vfs, double* julian_day);
  static int CurrentTimeInt64(sqlite3_vfs* vfs, sqlite3_int64* julian_ms);

  const std::string name_;
  sqlite3_vfs vfs_;
  int64_t wall_ms_ = 0;
};

// Makes 'localtime' mean UTC on every node, whatever the TZ of the machine. Process-wide.
void UseUtcAsLocalTime();

}  // namespace cairn::state_machine
