// TableShape: which columns of a table its digest covers, and how SQLite's preupdate hook names
// them.
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

// What is stored: of generated columns only the STORED ones.
struct ShapeColumn {
  std::string name;
  int number = 0;   // in the table
  int storage = 0;  // in the stored row
  int key = 0;      // place in the primary key of a table WITHOUT ROWID, from 1; 0: not in it
  bool has_default = false;
  // The hook of SQLite 3.40 looks up the affinity of a column by the column's place in the record,
  // which may be another column's number: then it makes a real of an integer.
  bool as_real = false;
};

struct TableShape {
  int64_t row = 0;  // in sqlite_schema; stays when the table is renamed
  std::string name;
  std::string create_sql;
  bool without_rowid = false;
  std::string rowid_name;  // by which statements reach it; empty: not at all, and it is not hashed
  std::vector<ShapeColumn> columns;  // in the order of storage; those that are hashed by value
  // A column that was added has its default in rows from before, and the hook shows NULL for it.
  bool any_default = false;
  bool any_excluded = false;

  // Yields the rowid, if there is a name for it, and the columns.
  std::string ScanSql() const;
  // The same of one row: by the rowid, or by the values of the key in its order; empty if there is
  // no way.
  std::string LookupSql() const;
  // Of a row that ScanSql or LookupSql yields.
  uint64_t HashOf(sqlite3_stmt* row_of_scan) const;
  // Each row hashes the same before and after.
  bool HashesLike(const TableShape& before) const;
};

// Tables whose rows change without the hook: SQLite's own, and Cairn's. They are read when a digest
// is made.
bool IsInternalTable(std::string_view name);
// The table where the sums are kept: covered by nothing but itself.
inline constexpr char kSumsTable[] = "_cairn_digest";

// Ordinary tables (internal or not; shadow tables are ordinary), in the order of their names. Those
// of `known`, sorted likewise, that stand in the schema unchanged are taken from there.
Result<std::vector<TableShape>> ReadShapes(sqlite3* db, const std::vector<const TableShape*>& known,
                                           bool internal);

// Of all rows of a table, read from the file. Adds to `steps`, if it is not null, what the machine
// took for it.
Result<RowSum> SumOfTable(sqlite3* db, const TableShape& shape, uint64_t* steps = nullptr);

}  // namespace cairn::state_machine
