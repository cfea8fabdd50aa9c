// ReadAhead: has SQLite read a file that nobody writes in large pieces.
//
// SQLite reads page by page, with a system call for each. A look through a whole file spends most
// of its time so. ReadAhead offers SQLite the pages as if they were mapped (xFetch), out of a few
// pieces of the file that it holds in memory. The file is not mapped: a mapping counts as resident
// memory as far as it was read, and a disk that fails to read a mapped page kills the process.
//
// A piece is read when a second page of it is asked for. Pages in no order are read one by one, as
// without ReadAhead.
#pragma once

#include <sqlite3.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace cairn::state_machine {

// One connection to a database that is open read-only and immutable. Destroy it before the
// connection is closed, and after all statements are finalized. One thread at a time.
class ReadAhead {
 public:
  explicit ReadAhead(sqlite3* db);
  ~ReadAhead();
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

 private:
  // The methods of the file, in the place of those that its VFS gave it.
  struct Methods : sqlite3_io_methods {
    const sqlite3_io_methods* base = nullptr;
    ReadAhead* owner = nullptr;
  };
  struct Piece {
    uint64_t number = ~uint64_t{0};  // its place in the file, in pieces
    size_t size = 0;
    int used = 0;  // pages that SQLite holds
    std::unique_ptr<char[]> bytes;
  };
  static constexpr size_t kPieces = 8;

  static int Fetch(sqlite3_file* file, sqlite3_int64 offset, int size, void** out);
  static int Unfetch(sqlite3_file* file, sqlite3_int64 offset, void* page);
  static int FileControl(sqlite3_file* file, int op, void* arg);

  // Null: SQLite reads the page itself.
  char* Find(uint64_t offset, size_t size);
  // Whether a page of this piece was asked for lately.
  bool AskedBefore(uint64_t number);
  // Null if SQLite holds pages of all pieces, or the file cannot be read.
  Piece* Load(uint64_t number);
  void Release(const char* page);

  sqlite3* const db_;
  sqlite3_file* file_ = nullptr;
  uint64_t file_bytes_ = 0;
  Methods methods_{};
  std::array<Piece, kPieces> pieces_;
  size_t next_ = 0;  // the piece that goes next
  std::array<uint64_t, kPieces> asked_;
  size_t next_asked_ = 0;
};

}  // namespace cairn::state_machine
