// DeterministicVfs: a VFS on top of another one. It replaces the time of day, and records failed
// writes.
//
// CURRENT_TIMESTAMP in a DEFAULT and datetime('now') in a trigger or a view ask the VFS of their
// connection for the time. They do not stand in the text of the statement, so only the VFS can give
// them the time that the leader has put into the entry.
//
// SQLite reports a full disk also when a sequence or a full-text index has come to its end. A full
// disk is this node's trouble; the end of a sequence is the same on every node. A failed write
// tells the two apart.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <list>
#include <string>

namespace cairn::state_machine {

// One owner, one connection, one thread. Must outlive the connection that is opened with it.
class DeterministicVfs {
 public:
  // Registers itself with SQLite under a name of its own, never as the default. `base` names the
  // VFS that has the files, and must outlive this VFS; null is SQLite's own VFS.
  explicit DeterministicVfs(const char* base);
  ~DeterministicVfs();
  DeterministicVfs(const DeterministicVfs&) = delete;
  DeterministicVfs& operator=(const DeterministicVfs&) = delete;

  // For sqlite3_open_v2.
  const char* name() const { return name_.c_str(); }
  // Sets what SQL sees as now until the next call, in Unix milliseconds, UTC.
  void SetTime(int64_t wall_ms) {
    wall_ms_ = wall_ms;
    write_failed_ = false;
  }
  // True if a write has failed since the last SetTime.
  bool write_failed() const { return write_failed_; }

 private:
  // The methods of one kind of file of the base VFS, with xWrite replaced. Write finds the replaced
  // method through `base`.
  struct Methods : sqlite3_io_methods {
    const sqlite3_io_methods* base;
    DeterministicVfs* vfs;
  };
  const Methods* MethodsOver(const sqlite3_io_methods* base);
  static int Write(sqlite3_file* file, const void* data, int size, sqlite3_int64 offset);
  static sqlite3_vfs* BaseOf(sqlite3_vfs* vfs) {
    return static_cast<DeterministicVfs*>(vfs->pAppData)->base_;
  }
  static int Open(sqlite3_vfs* vfs, sqlite3_filename path, sqlite3_file* file, int flags,
                  int* out_flags);
  static int Delete(sqlite3_vfs* vfs, const char* path, int sync);
  static int Access(sqlite3_vfs* vfs, const char* path, int flags, int* out);
  static int FullPathname(sqlite3_vfs* vfs, const char* path, int size, char* out);
  static int Randomness(sqlite3_vfs* vfs, int size, char* out);
  static int Sleep(sqlite3_vfs* vfs, int microseconds);
  static int GetLastError(sqlite3_vfs* vfs, int size, char* out);
  static int CurrentTime(sqlite3_vfs* vfs, double* julian_day);
  static int CurrentTimeInt64(sqlite3_vfs* vfs, sqlite3_int64* julian_ms);

  sqlite3_vfs* const base_;
  const std::string name_;
  sqlite3_vfs vfs_;
  int64_t wall_ms_ = 0;
  bool write_failed_ = false;
  std::list<Methods> methods_;
};

// Makes 'localtime' mean UTC on every node, whatever the TZ of the machine. Process-wide.
void UseUtcAsLocalTime();

}  // namespace cairn::state_machine
