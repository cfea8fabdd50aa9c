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

// A column that is stored. Of generated columns only the STORED ones are.
struct ShapeColumn {
  std::string name;
  int number = 0;   // in the table
  int storage = 0;  // in the stored row
  int key = 0;      // place in the primary key of a table WITHOUT ROWID, from 1; 0: not in it
  bool has_default = false;
  // The hook of SQLite 3.40 looks up the affinity of a column by the column's place in the record.
  // That place may be the number of another column; then the hook makes an integer a real.
  bool as_real = false;
};

struct TableShape {
  int64_t row = 0;  // in sqlite_schema; a RENAME does not change it
  std::string name;
  std::string create_sql;
  bool without_rowid = false;
  std::string rowid_name;  // by which a statement reaches it; empty: none can, so it is not hashed
  std::vector<ShapeColumn> columns;  // in the order of storage; those that are hashed by value
  // Some column has a default. If the column was added, rows from before read as having the
  // default, but the hook shows NULL for it.
  bool any_default = false;
  bool any_excluded = false;

  // Selects the rowid, if it has a name, and the columns.
  std::string ScanSql() const;
  // Selects the same for one row: by the rowid, or by the values of the key in the key's order.
  // Empty if neither is possible.
  std::string LookupSql() const;
  // The hash of a row that ScanSql or LookupSql has selected.
  uint64_t HashOf(sqlite3_stmt* row_of_scan) const;
  // Whether each row has the same hash with both shapes.
  bool HashesLike(const TableShape& before) const;
};

// Whether the table is SQLite's own or Cairn's. Rows of these change without the hook, so they have
// no sums and are read when a digest is made.
bool IsInternalTable(std::string_view name);
// The table that keeps the sums. Nothing else covers it.
inline constexpr char kSumsTable[] = "_cairn_digest";

// The shapes of ordinary tables, internal ones or all others, in the order of their names. Shadow
// tables are ordinary. A shape of `known`, which is in the same order, is used again if the table
// has not changed.
Result<std::vector<TableShape>> ReadShapes(sqlite3* db, const std::vector<const TableShape*>& known,
                                           bool internal);

// The sum of all rows of a table, read from the file. If `steps` is not null, adds the steps that
// SQLite's machine took.
Result<RowSum> SumOfTable(sqlite3* db, const TableShape& shape, uint64_t* steps = nullptr);

}  // namespace cairn::state_machine
