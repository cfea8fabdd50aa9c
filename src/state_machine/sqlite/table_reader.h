// TableReader: reads the changed rows of one table, as a SELECT would read them.
//
// SQLite's preupdate hook gives most values, but not all as a SELECT does (state_digest.md): it
// shows NULL for an added column with a default, mixes up the affinity of columns that are stored
// in another order than they are declared, and hides the column that is stored in the place of the
// rowid. Where the hook's values are in doubt, the row is looked up by its key: the old row before
// the change, and the new row after it.
//
// VIRTUAL generated columns are left out. To compute them runs expressions of clients, which may
// take long, and nothing would charge for that on the nodes that nobody watches.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "state_machine/change.h"
#include "state_machine/sqlite/row_observer.h"
#include "state_machine/sqlite/statement.h"
#include "state_machine/sqlite/table_shape.h"

namespace cairn::state_machine {

// Used on the engine's thread, until the schema changes.
class TableReader {
 public:
  // Reads the columns of the table. For the table that holds the rows of a full-text table,
  // `full_text` is the name of that table, and the changes are told as changes of it; otherwise
  // empty.
  static Result<std::unique_ptr<TableReader>> Open(sqlite3* db, const std::string& table,
                                                   const std::string& full_text);

  const std::shared_ptr<const ChangedTable>& table() const { return told_; }
  bool has_rowid() const { return !shape_.without_rowid; }

  // Called in the preupdate hook, for an UPDATE or DELETE. OUT_OF_RANGE if the row cannot be read
  // as a SELECT reads it.
  Result<Row> Old(const RowChange& change);
  // Called in the preupdate hook, for an INSERT or UPDATE. If the values are in doubt, sets
  // *look_up: the row has the key in its places, and LookUpNew reads the rest after the change.
  Result<Row> New(const RowChange& change, bool* look_up);
  Result<Row> LookUpNew(int64_t rowid, const Row& doubtful);

  // Selects the columns of all rows, with the rowid first if the table has rowids that can be
  // named, and SQLite allows one more column in a result.
  std::string SelectAll() const;
  bool rowid_is_selected() const {
    return !shape_.rowid_name.empty() && own_->columns.size() < kResultColumnsMax;
  }
  // The place of the rowid in a row of SelectAll; -1: it has none.
  int rowid_place() const { return rowid_is_selected() ? 0 : rowid_column_; }

 private:
  TableReader() = default;
  Status ReadColumns(sqlite3* db);
  Status TellAs(sqlite3* db, const std::string& full_text);
  // The hook's values; *in_doubt if one of them may not be what a SELECT reads.
  using Get = int (*)(sqlite3*, int, sqlite3_value**);
  Result<Row> FromHook(Get get, bool by_number, int64_t rowid, bool* in_doubt) const;
  Result<Row> LookUp(int64_t rowid, const Row& key);
  std::string LookUpSql() const;  // empty: no row can be looked up
  // The row as it is told: without the leading columns that only the stored row has.
  Row Told(Row row) const;

  sqlite3* db_ = nullptr;
  TableShape shape_;
  std::shared_ptr<const ChangedTable> own_;   // of the table itself
  std::shared_ptr<const ChangedTable> told_;  // as which changes are told
  std::vector<size_t> place_;                 // in own_, by the column's number
  std::vector<bool> is_real_;                 // has the affinity REAL, by place
  int rowid_column_ = -1;                     // the place of the INTEGER PRIMARY KEY; -1: none
  std::string key_index_;                     // the key's index of a table WITHOUT ROWID
  bool always_in_doubt_ = false;
  size_t first_told_ = 0;
  StatementPtr look_up_;
};

}  // namespace cairn::state_machine
