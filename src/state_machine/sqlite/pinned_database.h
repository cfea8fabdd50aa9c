// PinnedDatabase: one state of the live database, read as the bytes of a file.
//
// A read transaction holds the state. What a checkpoint of this state would leave in the file is
// read in large pieces, past SQLite's page cache: from the file, but for the pages that stand in
// the WAL, which come from there. This is as fast as to copy a file. (sqlite3_backup goes page by
// page, and finishes page 1 last, so nothing of its copy may be sent before all of it is made.)
//
// Why this is right (https://www.sqlite.org/walformat.html): while the transaction lasts, a
// checkpoint moves no frame into the file that is newer than the state. A page of the state is that
// of its last frame in the WAL, or, if it has none, that of the file, which then nobody writes.
// These frames stay where they are as long as the transaction uses the WAL. It does not if all of
// the WAL had been moved when it began; then the file alone is the state, and nobody writes it.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/status.h"

namespace cairn::state_machine {

// One thread at a time.
class PinnedDatabase {
 public:
  // Pins the state that is committed now. Reads through SQLite's own descriptors alone: to close
  // one of ours would release the locks of this process.
  static Result<std::unique_ptr<PinnedDatabase>> Open(const char* vfs, const std::string& path);
  ~PinnedDatabase();
  PinnedDatabase(const PinnedDatabase&) = delete;
  PinnedDatabase& operator=(const PinnedDatabase&) = delete;

  // In the transaction.
  sqlite3* db() const { return db_; }
  uint64_t size_bytes() const { return pages_ * page_bytes_; }
  size_t page_bytes() const { return page_bytes_; }
  // Both multiples of a page, but for the end. Not past size_bytes().
  Result<std::string> ReadAt(uint64_t offset, size_t size);

 private:
  PinnedDatabase() = default;
  Status Pin();
  // True: `frames_` of the WAL belong to the state that the transaction has.
  Result<bool> TryPin();
  Status FindFrames();

  sqlite3* db_ = nullptr;
  sqlite3_file* file_ = nullptr;  // SQLite's, as the next
  sqlite3_file* wal_ = nullptr;
  uint64_t page_bytes_ = 0;
  uint64_t pages_ = 0;
  uint32_t frames_ = 0;                  // of the WAL, from its beginning; 0: it is not used
  uint64_t salt_ = 0;                    // of these frames
  std::map<uint64_t, uint64_t> in_wal_;  // where the last frame of a page begins, by page (from 0)
};

}  // namespace cairn::state_machine
