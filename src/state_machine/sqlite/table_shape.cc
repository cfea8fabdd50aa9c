#include "state_machine/sqlite/table_shape.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/sql_name.h"
#include "state_machine/sqlite/internal_sql.h"
#include "state_machine/sqlite/schema_catalog.h"
#include "state_machine/sqlite/sql_tokens.h"

namespace cairn::state_machine {
namespace {

struct DeclaredColumn {
  ShapeColumn column;
  std::string type;
  bool is_virtual = false;
};

Result<std::vector<DeclaredColumn>> ReadColumns(sqlite3* db, const std::string& table) {
  InternalStatement read;
  RETURN_IF_ERROR(read.Prepare(db,
                               "SELECT cid, name, type, dflt_value, pk, hidden"
                               " FROM pragma_table_xinfo(?1) ORDER BY cid"));
  read.BindText(1, table);
  std::vector<DeclaredColumn> columns;
  int stored = 0;
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, read.Next());
    if (!row) return columns;
    DeclaredColumn each;
    each.column.number = static_cast<int>(read.Int(0));
    each.column.name = read.Bytes(1);
    each.type = read.Bytes(2);
    each.column.has_default = !read.IsNull(3);
    each.column.key = static_cast<int>(read.Int(4));
    each.is_virtual = read.Int(5) == 2;
    each.column.storage = each.is_virtual ? -1 : stored++;
    columns.push_back(std::move(each));
  }
}

// A name of the rowid that no column has.
std::string FreeRowidName(const std::vector<DeclaredColumn>& columns) {
  for (const char* name : {"_rowid_", "rowid", "oid"}) {
    const auto takes = [name](const DeclaredColumn& each) {
      return LowerCase(each.column.name) == name;
    };
    if (std::none_of(columns.begin(), columns.end(), takes)) return name;
  }
  return {};
}

// The INTEGER PRIMARY KEY, which is another name of the rowid. Null if there is none. Any other key
// of a table with rowids has an index.
Result<const DeclaredColumn*> FindRowidColumn(sqlite3* db, const std::string& table,
                                              const std::vector<DeclaredColumn>& columns) {
  const DeclaredColumn* key = nullptr;
  for (const DeclaredColumn& each : columns) {
    if (each.column.key != 0) key = &each;
  }
  if (key == nullptr) return key;
  InternalStatement read;
  RETURN_IF_ERROR(read.Prepare(db, "SELECT 1 FROM pragma_index_list(?1) WHERE origin = 'pk'"));
  read.BindText(1, table);
  ASSIGN_OR_RETURN(const bool has_index, read.Next());
  return has_index ? nullptr : key;
}

// The columns of a table WITHOUT ROWID in the order of the record: the key comes first. Empty if
// the table has rowids.
Result<std::vector<int>> ReadKeyOrder(sqlite3* db, const std::string& table) {
  InternalStatement read;
  RETURN_IF_ERROR(read.Prepare(db, "SELECT cid FROM pragma_index_xinfo(?1) ORDER BY seqno"));
  read.BindText(1, table);
  std::vector<int> order;
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, read.Next());
    if (!row) return order;
    order.push_back(static_cast<int>(read.Int(0)));
  }
}

Status FillShape(sqlite3* db, TableShape* shape) {
  ASSIGN_OR_RETURN(const std::vector<DeclaredColumn> declared, ReadColumns(db, shape->name));
  ASSIGN_OR_RETURN(const std::vector<int> key_order, ReadKeyOrder(db, shape->name));
  shape->without_rowid = !key_order.empty();
  const DeclaredColumn* rowid = nullptr;
  if (!shape->without_rowid) {
    ASSIGN_OR_RETURN(rowid, FindRowidColumn(db, shape->name, declared));
    shape->rowid_name = FreeRowidName(declared);
    if (shape->rowid_name.empty() && rowid != nullptr) shape->rowid_name = rowid->column.name;
  }
  for (const DeclaredColumn& each : declared) {
    if (each.is_virtual || &each == rowid) continue;
    // The hook takes the column whose place in the record is the key's number for the key.
    if (rowid != nullptr && each.column.storage == rowid->column.number) {
      shape->any_excluded = true;
      continue;
    }
    ShapeColumn column = each.column;
    if (!shape->without_rowid) column.key = 0;
    size_t place = static_cast<size_t>(column.storage);
    if (shape->without_rowid) {
      const auto found = std::find(key_order.begin(), key_order.end(), column.number);
      place = static_cast<size_t>(found - key_order.begin());
    }
    column.as_real = place < declared.size() && HasRealAffinity(declared[place].type);
    shape->any_default = shape->any_default || column.has_default;
    shape->columns.push_back(std::move(column));
  }
  if (shape->columns.size() >= kResultColumnsMax) shape->rowid_name.clear();
  return OkStatus();
}

}  // namespace

// The words of other affinities come first.
bool HasRealAffinity(const std::string& declared) {
  const std::string type = LowerCase(declared);
  const auto holds = [&type](const char* word) { return type.find(word) != std::string::npos; };
  for (const char* word : {"int", "char", "clob", "text", "blob"}) {
    if (holds(word)) return false;
  }
  return holds("real") || holds("floa") || holds("doub");
}

Result<TableShape> ReadShape(sqlite3* db, const std::string& table) {
  TableShape shape;
  shape.name = table;
  RETURN_IF_ERROR(FillShape(db, &shape));
  return shape;
}

std::string TableShape::ScanSql() const {
  std::string sql = "SELECT ";
  const char* comma = "";
  if (!rowid_name.empty()) {
    sql += QuotedName(rowid_name);
    comma = ", ";
  }
  for (const ShapeColumn& column : columns) {
    sql += comma + QuotedName(column.name);
    comma = ", ";
  }
  if (rowid_name.empty() && columns.empty()) sql += "1";
  // SQLite would otherwise read an index that holds all the columns instead of the table.
  return sql + " FROM main." + QuotedName(name) + (without_rowid ? "" : " NOT INDEXED");
}

std::string TableShape::LookupSql() const {
  if (!without_rowid) {
    return rowid_name.empty() ? std::string()
                              : ScanSql() + " WHERE " + QuotedName(rowid_name) + " = ?1";
  }
  std::string sql = ScanSql();
  const char* word = " WHERE ";
  for (const ShapeColumn& column : columns) {
    if (column.key == 0) continue;
    sql += word + QuotedName(column.name) + " = ?" + std::to_string(column.key);
    word = " AND ";
  }
  return sql;
}

uint64_t TableShape::HashOf(sqlite3_stmt* row_of_scan) const {
  RowHash hash;
  int at = 0;
  if (!rowid_name.empty()) hash.Rowid(sqlite3_column_int64(row_of_scan, at++));
  for (size_t i = 0; i < columns.size(); ++i, ++at) {
    hash.Value(i, sqlite3_column_value(row_of_scan, at), columns[i].as_real);
  }
  return hash.hash();
}

bool TableShape::HashesLike(const TableShape& before) const {
  if (without_rowid != before.without_rowid || rowid_name.empty() != before.rowid_name.empty() ||
      any_excluded || before.any_excluded || columns.size() < before.columns.size()) {
    return false;
  }
  for (size_t i = 0; i < columns.size(); ++i) {
    // An added column without a default is NULL in all older rows, and changes no hash.
    if (i >= before.columns.size() && columns[i].has_default) return false;
    if (i < before.columns.size() && columns[i].as_real != before.columns[i].as_real) return false;
  }
  return true;
}

bool IsInternalTable(std::string_view name) {
  return LowerCase(name.substr(0, 7)) == "sqlite_" || IsReservedName(name);
}

Result<std::vector<TableShape>> ReadShapes(sqlite3* db, const std::vector<const TableShape*>& known,
                                           bool internal) {
  std::map<int64_t, const TableShape*> by_row;
  for (const TableShape* shape : known) by_row[shape->row] = shape;
  InternalStatement read;
  RETURN_IF_ERROR(read.Prepare(db,
                               "SELECT rowid, name, sql FROM sqlite_schema"
                               " WHERE type = 'table' AND rootpage <> 0 ORDER BY name"));
  std::vector<TableShape> shapes;
  std::vector<size_t> fresh;
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, read.Next());
    if (!row) break;
    TableShape shape;
    shape.row = read.Int(0);
    shape.name = read.Bytes(1);
    shape.create_sql = read.Bytes(2);
    if (HasKeptSum(shape.name) == internal || shape.name == kSumsTable) continue;
    const auto it = by_row.find(shape.row);
    if (it != by_row.end() && it->second->name == shape.name &&
        it->second->create_sql == shape.create_sql) {
      shape = *it->second;
    } else {
      fresh.push_back(shapes.size());
    }
    shapes.push_back(std::move(shape));
  }
  for (const size_t i : fresh) RETURN_IF_ERROR(FillShape(db, &shapes[i]));
  return shapes;
}

Result<RowSum> SumOfTable(sqlite3* db, const TableShape& shape, uint64_t* steps) {
  const std::string sql = shape.ScanSql();
  sqlite3_stmt* raw = nullptr;
  int rc = sqlite3_prepare_v2(db, sql.data(), static_cast<int>(sql.size()), &raw, nullptr);
  const StatementPtr stmt(raw);
  RowSum sum;
  while (rc == SQLITE_OK || rc == SQLITE_ROW) {
    rc = sqlite3_step(raw);
    if (rc == SQLITE_ROW) sum.Add(shape.HashOf(raw));
  }
  if (rc != SQLITE_DONE) return SqliteTrouble(db, rc, "read table " + shape.name);
  if (steps != nullptr) {
    *steps += static_cast<uint32_t>(sqlite3_stmt_status(raw, SQLITE_STMTSTATUS_VM_STEP, 0));
  }
  return sum;
}

}  // namespace cairn::state_machine
