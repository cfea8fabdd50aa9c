// TableShape: the columns of a table that its digest covers, and how SQLite's preupdate hook
// numbers them.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "state_machine/sqlite/row_sum.h"
#include "state_machine/sqlite/statement.h"

namespace cairn::state_machine {

// A stored column. Generated columns are stored only if they are STORED.
struct ShapeColumn {
  std::string name;
  int number = 0;   // in the table
  int storage = 0;  // in the stored row
  int key = 0;      // place in the primary key of a WITHOUT ROWID table, from 1; 0: none
  bool has_default = false;
  // The hook of SQLite 3.40 looks up the affinity of a column by the column's place in the record.
  // That place may be the number of another column. The hook then turns an integer into a real.
  bool as_real = false;
};

// SQLite's bound.
inline constexpr size_t kResultColumnsMax = 2000;

struct TableShape {
  int64_t row = 0;  // in sqlite_schema; a RENAME does not change it
  std::string name;
  std::string create_sql;
  bool without_rowid = false;
  std::string rowid_name;  // the name that SQL can use; empty: none, so the rowid is not hashed
  std::vector<ShapeColumn> columns;  // hashed by value, in the order of storage
  // Some column has a default. If the column was added, older rows read as having the default, but
  // the hook shows NULL for it.
  bool any_default = false;
  bool any_excluded = false;

  // Selects the rowid, if it has a name, and the columns.
  std::string ScanSql() const;
  // Selects the same for one row: by the rowid, or by the values of the key in the key's order.
  // Empty if neither is possible.
  std::string LookupSql() const;
  // The hash of a row that ScanSql or LookupSql has selected.
  uint64_t HashOf(sqlite3_stmt* row_of_scan) const;
  // True if each row has the same hash with both shapes.
  bool HashesLike(const TableShape& before) const;
};

// The shape of one table that has rows of its own. `row` and `create_sql` are not filled.
Result<TableShape> ReadShape(sqlite3* db, const std::string& table);

// True if SQLite gives a declared type the affinity REAL.
bool HasRealAffinity(const std::string& declared);

// True if the table is one of SQLite's or Cairn's own. Their rows change without the hook, so these
// tables have no sums, and a digest reads them.
bool IsInternalTable(std::string_view name);
// The table that keeps the sums. Nothing else covers it.
inline constexpr char kSumsTable[] = "_cairn_digest";

// The tables that keep retained changes, and the pieces of a backup that is being restored. They may
// be large, and only commands change them, so they have kept sums as the tables of clients have.
inline constexpr char kRetainedTable[] = "_cairn_changes";
inline constexpr char kRestorePiecesTable[] = "_cairn_restore_pieces";
inline bool HasKeptSum(std::string_view name) {
  return name == kRetainedTable || name == kRestorePiecesTable || !IsInternalTable(name);
}

// The shapes of ordinary tables: those that have kept sums, or the others (`internal`), in the order of
// their names. Shadow tables are ordinary. A shape of `known` (in the same order) is reused if the table has not
// changed.
Result<std::vector<TableShape>> ReadShapes(sqlite3* db, const std::vector<const TableShape*>& known,
                                           bool internal);

// The sum of all rows of a table, read from the file. If `steps` is not null, adds the steps that
// SQLite's machine took.
Result<RowSum> SumOfTable(sqlite3* db, const TableShape& shape, uint64_t* steps = nullptr);

}  // namespace cairn::state_machine
