// Versions: write sequences, one for the database and one for each table. Clients compare nodes by
// these sequences, and need no version column in their own tables.
//
// A statement that succeeds adds 1 to the sequence of the database and of each table that its
// program may write, triggers and cascades included, even if it changes no row. CREATE, ALTER and
// DROP TABLE write the table that they name. RENAME moves the sequence. A sequence never goes back:
// DROP removes it, and a table that is created later begins after all that were removed.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "state_machine/sqlite/internal_sql.h"

namespace cairn::state_machine {

struct VersionCounter {
  std::string name;  // in lower case; empty: the database
  int64_t value = 0;
  int64_t in_file = 0;  // as of the last committed batch
  bool dirty = false;
};

// Used by the apply thread. Held in memory, and written once a batch. Counters keep their addresses
// until Close.
class Versions {
 public:
  static const char* const kSchema;

  Status Open(sqlite3* db);
  void Close();

  // The counter of a table, by its name in lower case, or of the database for "". A new counter
  // begins at 0.
  VersionCounter* Counter(const std::string& lower_name);
  void Add(VersionCounter* counter, int64_t n);
  // Notes that a change of the schema wrote the table (which may be new), or dropped it.
  void AddToTable(const std::string& lower_name);
  void Drop(const std::string& lower_name);
  // Moves the counter to the table's new name.
  void Rename(const std::string& from, const std::string& to);

  // Writes the counters. Called within the batch's transaction, just before the commit.
  Status Flush();
  // Called when the batch is committed, or undone.
  void BatchCommitted();
  void BatchUndone();

 private:
  void Remove(VersionCounter* counter);
  void Touch(VersionCounter* counter);

  std::unordered_map<std::string, VersionCounter> counters_;
  std::vector<VersionCounter*> dirty_;
  InternalStatement write_;
  InternalStatement remove_;
};

}  // namespace cairn::state_machine
