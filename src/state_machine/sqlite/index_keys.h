// IndexKeys: how many bytes the keys of indexes take of a row that changes.
//
// SQLite compares a key at each level of the tree, writes the key into a page that it may have to
// read first, and splits the page if the key does not fit. So an entry costs by the bytes of its
// key, and no step of SQLite's machine tells how many these are.
#pragma once

#include <sqlite3.h>

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "state_machine/sqlite/row_observer.h"

namespace cairn::state_machine {

// A key that may be longer than its row counts as at least so many bytes.
inline constexpr uint64_t kGrownKeyBytes = 4096;

// The indexes of one table. Owned by the row hooks, and used on the engine's thread only.
class IndexKeys {
 public:
  // Reads the indexes of the table from the schema. If that fails, each key counts as a whole row.
  void Read(sqlite3* db, const std::string& table);

  // Called in the preupdate hook: the bytes of the keys that go and of those that come. `row_bytes`:
  // of the row's values, old and new. `set`: the columns that an UPDATE sets, in lower case; null:
  // every entry changes.
  uint64_t BytesOf(sqlite3* db, const RowChange& change, uint64_t row_bytes,
                   const std::set<std::string>* set) const;

 private:
  struct Column {
    std::string name;  // in lower case
    int old_at = 0;    // for sqlite3_preupdate_old
    int new_at = 0;    // for sqlite3_preupdate_new, of an UPDATE
  };
  struct Index {
    std::vector<Column> columns;
    // Of an expression or a generated column too: such keys count as the whole row, or as
    // kGrownKeyBytes if the expression may be longer than its row.
    bool computed = false;
    bool grows = false;
  };

  Status ReadIndexes(sqlite3* db, const std::string& table);
  static uint64_t KeyBytes(sqlite3* db, const Index& index, const RowChange& change);

  bool known_ = false;
  std::vector<Index> indexes_;
};

// True if an expression in the text of a table or an index may be longer than the values that it
// names.
bool MayGrow(std::string_view sql);

// True if the text makes an index of vectors: ON table(libsql_vector_idx(...)). Its entries are NULL.
bool IsVectorIndex(std::string_view sql);

}  // namespace cairn::state_machine
