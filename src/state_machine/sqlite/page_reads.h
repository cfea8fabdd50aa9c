// PageReads: a look at the limits of a query between the pages that SQLite reads.
//
// The progress handler is called between operations of a program. `count(*)` of a whole table is one
// operation that goes through all pages of an index, for seconds on a slow disk. Without PageReads
// three such queries would hold all threads for short reads, whatever their slices and deadlines.
#pragma once

#include <sqlite3.h>

#include <functional>

namespace cairn::state_machine {

// For the database file of one connection, and its WAL. Destroy it before the connection is closed.
// One thread at a time.
class PageReads {
 public:
  // `proceed` is called for every few pages. False: SQLite ends its present work with
  // SQLITE_INTERRUPT.
  PageReads(sqlite3* db, std::function<bool()> proceed);
  ~PageReads();
  // Call before each step of a statement: SQLite opens the WAL with the first read.
  void Attach();
  PageReads(const PageReads&) = delete;
  PageReads& operator=(const PageReads&) = delete;

 private:
  // The methods of the file, in the place of those that its VFS gave it.
  struct Methods : sqlite3_io_methods {
    const sqlite3_io_methods* base = nullptr;
    PageReads* owner = nullptr;
  };

  struct Hook {
    sqlite3_file* file = nullptr;
    Methods methods{};
  };

  void AttachTo(int which_file, Hook* hook);
  static int Read(sqlite3_file* file, void* out, int size, sqlite3_int64 offset);

  sqlite3* const db_;
  const std::function<bool()> proceed_;
  Hook database_;
  Hook wal_;
  unsigned pages_ = 0;
};

}  // namespace cairn::state_machine
