// PinnedDatabase: one state of the live database, read as the bytes of a file.
//
// A read transaction holds the state. PinnedDatabase reads what a checkpoint of this state would
// leave in the file: pages that are in the WAL from the WAL, all others from the file. It reads in
// large pieces, past SQLite's page cache, so it is as fast as copying a file. (sqlite3_backup
// copies page by page and finishes page 1 last, so nothing of its copy could be sent before the
// whole copy is made.)
//
// Why this is correct (https://www.sqlite.org/walformat.html): during the transaction, a checkpoint
// moves no frame into the file that is newer than the state. A page of the state is its last frame
// in the WAL. If the page has no frame, it is the page in the file, which nobody writes meanwhile.
// The frames stay in place as long as the transaction uses the WAL. The transaction does not use
// the WAL if the whole WAL was in the file when the transaction began; then the file alone is the
// state, and nobody writes it.
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
  // Pins the present state. Reads only through SQLite's own descriptors, because closing another
  // descriptor of the file would release the locks of this process.
  static Result<std::unique_ptr<PinnedDatabase>> Open(const char* vfs, const std::string& path);
  ~PinnedDatabase();
  PinnedDatabase(const PinnedDatabase&) = delete;
  PinnedDatabase& operator=(const PinnedDatabase&) = delete;

  // The connection, in its transaction.
  sqlite3* db() const { return db_; }
  uint64_t size_bytes() const { return pages_ * page_bytes_; }
  size_t page_bytes() const { return page_bytes_; }
  // Replaces `bytes`. `offset` and `size` are multiples of a page, except at the end. Does not read
  // past size_bytes().
  Status ReadAt(uint64_t offset, size_t size, std::string* bytes);

 private:
  PinnedDatabase() = default;
  Status Pin();
  // True: the first `frames_` frames of the WAL belong to the state of the transaction.
  Result<bool> TryPin();
  Status FindFrames();

  sqlite3* db_ = nullptr;
  sqlite3_file* file_ = nullptr;  // SQLite's
  sqlite3_file* wal_ = nullptr;   // SQLite's
  uint64_t page_bytes_ = 0;
  uint64_t pages_ = 0;
  uint32_t frames_ = 0;                  // of the WAL, from its beginning; 0: it is not used
  uint64_t salt_ = 0;                    // of these frames
  std::map<uint64_t, uint64_t> in_wal_;  // where the last frame of a page begins, by page (from 0)
};

}  // namespace cairn::state_machine
