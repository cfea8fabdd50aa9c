#include "state_machine/sqlite/table_reader.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/sql_name.h"
#include "state_machine/sqlite/internal_sql.h"
#include "state_machine/sqlite/sql_tokens.h"

namespace cairn::state_machine {
namespace {

Status CannotBeTold(const std::string& table) {
  return OutOfRange("a changed row of the table " + table + " cannot be read");
}

// A failure of this node, or a row that no node can read.
Status CannotBeTold(sqlite3* db, int rc, const std::string& table) {
  const bool on_all_nodes = rc == SQLITE_DONE || rc == SQLITE_ERROR || rc == SQLITE_RANGE;
  return on_all_nodes ? CannotBeTold(table) : SqliteTrouble(db, rc, "read a changed row");
}

bool IsWhole(double value) { return std::nearbyint(value) == value; }

// Whether the word STRICT stands behind the columns.
bool IsStrict(const std::string& create_sql) {
  bool strict = false;
  for (const Token& token : TokensOf(create_sql)) {
    strict = token.type != TokenType::kClose && (strict || IsWord(token, "strict"));
  }
  return strict;
}

// The stored columns of a table, without the hidden ones of virtual tables. `numbers`: in the
// table.
Result<ChangedTable> ColumnsOf(sqlite3* db, const std::string& table,
                               std::vector<size_t>* numbers) {
  InternalStatement read;
  RETURN_IF_ERROR(read.Prepare(db,
                               "SELECT cid, name, type, pk FROM pragma_table_xinfo(?1)"
                               " WHERE hidden NOT IN (1, 2) ORDER BY cid"));
  read.BindText(1, table);
  ChangedTable columns;
  columns.name = table;
  std::vector<std::pair<int64_t, uint32_t>> key;  // by place in the key
  for (uint32_t place = 0;; ++place) {
    ASSIGN_OR_RETURN(const bool row, read.Next());
    if (!row) break;
    numbers->push_back(read.Uint(0));
    columns.columns.push_back({std::string(read.Bytes(1)), std::string(read.Bytes(2))});
    if (read.Int(3) != 0) key.emplace_back(read.Int(3), place);
  }
  std::sort(key.begin(), key.end());
  for (const auto& [number, place] : key) columns.key.push_back(place);
  InternalStatement text;
  RETURN_IF_ERROR(text.Prepare(
      db, "SELECT sql FROM main.sqlite_schema WHERE type = 'table' AND name = ?1 COLLATE NOCASE"));
  text.BindText(1, table);
  ASSIGN_OR_RETURN(const bool found, text.Next());
  columns.is_strict = found && IsStrict(std::string(text.Bytes(0)));
  return columns;
}

}  // namespace

Result<std::unique_ptr<TableReader>> TableReader::Open(sqlite3* db, const std::string& table,
                                                       const std::string& full_text) {
  std::unique_ptr<TableReader> reader(new TableReader());
  reader->db_ = db;
  ASSIGN_OR_RETURN(reader->shape_, ReadShape(db, table));
  RETURN_IF_ERROR(reader->ReadColumns(db));
  if (!full_text.empty()) RETURN_IF_ERROR(reader->TellAs(db, full_text));
  return reader;
}

Status TableReader::ReadColumns(sqlite3* db) {
  std::vector<size_t> numbers;
  ASSIGN_OR_RETURN(ChangedTable columns, ColumnsOf(db, shape_.name, &numbers));
  place_.resize(numbers.empty() ? 0 : numbers.back() + 1);
  for (size_t place = 0; place < numbers.size(); ++place) place_[numbers[place]] = place;
  std::vector<bool> hashed(numbers.size());
  for (const ShapeColumn& column : shape_.columns) {
    hashed[place_.at(static_cast<size_t>(column.number))] = true;
  }
  for (size_t place = 0; place < numbers.size(); ++place) {
    is_real_.push_back(HasRealAffinity(columns.columns[place].decl_type));
    // A shape leaves out the rowid, and the column in the place of the rowid.
    if (hashed[place]) continue;
    const bool is_key = columns.key.size() == 1 && columns.key[0] == place;
    if (is_key) rowid_column_ = static_cast<int>(place);
    always_in_doubt_ = always_in_doubt_ || !is_key;
  }
  own_ = told_ = std::make_shared<const ChangedTable>(std::move(columns));
  if (!shape_.without_rowid) return OkStatus();
  InternalStatement read;
  RETURN_IF_ERROR(read.Prepare(db, "SELECT name FROM pragma_index_list(?1) WHERE origin = 'pk'"));
  read.BindText(1, shape_.name);
  ASSIGN_OR_RETURN(const bool row, read.Next());
  if (row) key_index_ = read.Bytes(0);
  return OkStatus();
}

// A full-text table stores the values of its columns behind the rowid.
Status TableReader::TellAs(sqlite3* db, const std::string& full_text) {
  std::vector<size_t> numbers;
  ASSIGN_OR_RETURN(ChangedTable columns, ColumnsOf(db, full_text, &numbers));
  if (rowid_column_ != 0 || own_->columns.size() <= columns.columns.size()) {
    return CannotBeTold(full_text);
  }
  first_told_ = 1;
  told_ = std::make_shared<const ChangedTable>(std::move(columns));
  return OkStatus();
}

Row TableReader::Told(Row row) const {
  if (first_told_ == 0) return row;
  row.erase(row.begin(), row.begin() + static_cast<ptrdiff_t>(first_told_));
  row.resize(told_->columns.size());
  return row;
}

Result<Row> TableReader::FromHook(Get get, bool by_number, int64_t rowid, bool* in_doubt) const {
  Row row(own_->columns.size());
  if (rowid_column_ >= 0) row[static_cast<size_t>(rowid_column_)] = rowid;
  for (const ShapeColumn& column : shape_.columns) {
    sqlite3_value* value = nullptr;
    const int at = by_number ? column.number : column.storage;
    const int rc = get(db_, at, &value);
    if (rc != SQLITE_OK) return CannotBeTold(db_, rc, shape_.name);
    const size_t place = place_[static_cast<size_t>(column.number)];
    row[place] = ValueOf(value);
    if (is_real_[place]) {
      // SQLite stores a whole number as an integer, and a SELECT reads it as a real.
      if (const auto* whole = std::get_if<int64_t>(&row[place])) {
        row[place] = static_cast<double>(*whole);
      }
    } else if (column.as_real) {
      const auto* real = std::get_if<double>(&row[place]);
      *in_doubt = *in_doubt || (real != nullptr && IsWhole(*real));
    }
  }
  return row;
}

Result<Row> TableReader::Old(const RowChange& change) {
  bool in_doubt = always_in_doubt_;
  ASSIGN_OR_RETURN(
      Row row, FromHook(&sqlite3_preupdate_old, shape_.without_rowid, change.old_rowid, &in_doubt));
  for (const ShapeColumn& column : shape_.columns) {
    // The row may be older than the column.
    const bool is_null = row[place_[static_cast<size_t>(column.number)]].index() == 0;
    in_doubt = in_doubt || (column.has_default && is_null);
  }
  if (in_doubt) {
    ASSIGN_OR_RETURN(row, LookUp(change.old_rowid, row));
  }
  return Told(std::move(row));
}

Result<Row> TableReader::New(const RowChange& change, bool* look_up) {
  const bool by_number = shape_.without_rowid && change.operation != SQLITE_UPDATE;
  *look_up = always_in_doubt_;
  ASSIGN_OR_RETURN(Row row, FromHook(&sqlite3_preupdate_new, by_number, change.new_rowid, look_up));
  return *look_up ? row : Told(std::move(row));
}

Result<Row> TableReader::LookUpNew(int64_t rowid, const Row& doubtful) {
  ASSIGN_OR_RETURN(Row row, LookUp(rowid, doubtful));
  return Told(std::move(row));
}

std::string TableReader::SelectAll() const {
  std::string sql = "SELECT ";
  if (rowid_is_selected()) sql += QuotedName(shape_.rowid_name) + ", ";
  const char* comma = "";
  for (const Column& column : own_->columns) {
    sql += comma + QuotedName(column.name);
    comma = ", ";
  }
  return sql + " FROM main." + QuotedName(shape_.name);
}

std::string TableReader::LookUpSql() const {
  if (!shape_.without_rowid) {
    if (shape_.rowid_name.empty()) return {};
    return SelectAll() + " WHERE " + QuotedName(shape_.rowid_name) + " = ?1";
  }
  // Another index may have lost its entry of the row already.
  std::string sql = SelectAll() + " INDEXED BY " + QuotedName(key_index_);
  const char* word = " WHERE ";
  for (size_t i = 0; i < own_->key.size(); ++i) {
    sql += word + QuotedName(own_->columns[own_->key[i]].name) + " = ?" + std::to_string(i + 1);
    word = " AND ";
  }
  return sql;
}

Result<Row> TableReader::LookUp(int64_t rowid, const Row& key) {
  if (look_up_ == nullptr) {
    const std::string sql = LookUpSql();
    sqlite3_stmt* raw = nullptr;
    const int rc = sqlite3_prepare_v3(db_, sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &raw, nullptr);
    look_up_.reset(raw);
    // Without a text: the row cannot be named.
    if (raw == nullptr) return CannotBeTold(db_, rc == SQLITE_OK ? SQLITE_ERROR : rc, shape_.name);
  }
  sqlite3_stmt* const stmt = look_up_.get();
  int bound = SQLITE_OK;
  if (!shape_.without_rowid) bound = sqlite3_bind_int64(stmt, 1, rowid);
  for (size_t i = 0; shape_.without_rowid && i < own_->key.size() && bound == SQLITE_OK; ++i) {
    bound = BindAsStored(stmt, static_cast<int>(i + 1), key[own_->key[i]]);
  }
  const int stepped = bound == SQLITE_OK ? sqlite3_step(stmt) : bound;
  Result<Row> row = Row();
  if (stepped == SQLITE_ROW) {
    for (int i = rowid_is_selected() ? 1 : 0; i < sqlite3_column_count(stmt); ++i) {
      row->push_back(ColumnValue(stmt, i));
    }
  } else {
    row = CannotBeTold(db_, stepped, shape_.name);
  }
  sqlite3_reset(stmt);
  sqlite3_clear_bindings(stmt);
  return row;
}

}  // namespace cairn::state_machine
