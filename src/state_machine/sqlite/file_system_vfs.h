// FileSystemVfs: lets SQLite live on a cairn::FileSystem, so that a whole database can run on
// virtual disks that lose, tear and refuse writes.
//
// In production SQLite uses its own VFS of the operating system. This VFS is for the simulator and
// for tests. With SQLite's own VFS, processes share the locks on the database file and the index of
// the WAL through the operating system. The connections of one FileSystemVfs share both in memory,
// so there is no `-shm` file. One FileSystemVfs therefore stands for one process: after a crash of
// the virtual machine a test creates a new one. Temporary files (spilled sorts and savepoints) are
// in memory too.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/file_system.h"
#include "base/mutex.h"
#include "base/rng.h"

namespace cairn::state_machine {

// Thread-safe, as SQLite demands. Must outlive the connections that are opened with it; `fs` and
// `clock` must outlive it.
class FileSystemVfs {
 public:
  // Registers itself with SQLite under a name of its own, never as the default.
  FileSystemVfs(FileSystem& fs, Clock& clock, uint64_t seed);
  ~FileSystemVfs();
  FileSystemVfs(const FileSystemVfs&) = delete;
  FileSystemVfs& operator=(const FileSystemVfs&) = delete;

  // For sqlite3_open_v2.
  const char* name() const { return name_.c_str(); }

  // Seeds the generator from which SQLite draws the salts of its WALs. The generator belongs to the
  // process, and the VFS of a connection does not reach it. With the same seed, the same calls
  // write the same bytes.
  static void SeedSqlite(uint32_t seed);

 private:
  class OpenFile;
  struct Handle;
  struct Shared;

  static FileSystemVfs& Of(sqlite3_vfs* vfs) { return *static_cast<FileSystemVfs*>(vfs->pAppData); }
  static int Open(sqlite3_vfs* vfs, sqlite3_filename path, sqlite3_file* file, int flags,
                  int* out_flags);
  static int Delete(sqlite3_vfs* vfs, const char* path, int sync_directory);
  static int Access(sqlite3_vfs* vfs, const char* path, int flags, int* out);
  static int FullPathname(sqlite3_vfs* vfs, const char* path, int size, char* out);
  static int Randomness(sqlite3_vfs* vfs, int size, char* out);
  static int Sleep(sqlite3_vfs* vfs, int microseconds);
  static int CurrentTime(sqlite3_vfs* vfs, double* julian_day);
  static int CurrentTimeInt64(sqlite3_vfs* vfs, sqlite3_int64* julian_ms);
  static int GetLastError(sqlite3_vfs* vfs, int size, char* out);
  static const sqlite3_io_methods* Methods();

  std::shared_ptr<Shared> SharedOf(const std::string& path);

  FileSystem& fs_;
  Clock& clock_;
  const std::string name_;
  sqlite3_vfs vfs_{};
  Mutex mutex_;  // guards all below, the contents of every Shared included
  Rng rng_ CAIRN_GUARDED_BY(mutex_);
  // The state of each open database file.
  std::map<std::string, std::weak_ptr<Shared>> shared_ CAIRN_GUARDED_BY(mutex_);
};

}  // namespace cairn::state_machine
