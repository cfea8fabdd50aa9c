#include "state_machine/sqlite/table_sums.h"

#include <cstring>
#include <utility>

namespace cairn::state_machine {

const char* const TableSums::kSchema =
    "CREATE TABLE IF NOT EXISTS _cairn_digest(name TEXT PRIMARY KEY, a INTEGER NOT NULL,"
    " b INTEGER NOT NULL) WITHOUT ROWID";

// ---- Opening ------------------------------------------------------------------------------------

Status TableSums::Open(sqlite3* db) {
  InternalStatement find;
  RETURN_IF_ERROR(find.Prepare(db, "SELECT 1 FROM sqlite_schema WHERE name = '_cairn_digest'"));
  ASSIGN_OR_RETURN(const bool known, find.Next());
  find.Finalize();
  RETURN_IF_ERROR(ExecInternal(db, kSchema));
  db_ = db;
  RETURN_IF_ERROR(write_.Prepare(db, "REPLACE INTO _cairn_digest(name, a, b) VALUES(?1, ?2, ?3)"));
  RETURN_IF_ERROR(remove_.Prepare(db, "DELETE FROM _cairn_digest WHERE name = ?1"));
  if (known) RETURN_IF_ERROR(Load());
  return TakeShapes(/*follow=*/!known);
}

Status TableSums::Load() {
  InternalStatement read;
  RETURN_IF_ERROR(read.Prepare(db_, "SELECT name, a, b FROM _cairn_digest"));
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, read.Next());
    if (!row) return OkStatus();
    Table* const table = Make(std::string(read.Bytes(0)));
    table->sum = table->in_file = RowSum{read.Uint(1), read.Uint(2)};
  }
}

void TableSums::Close() {
  write_.Finalize();
  remove_.Finalize();
  tables_.clear();
  last_ = nullptr;
  db_ = nullptr;
}

// ---- Rows ---------------------------------------------------------------------------------------

TableSums::Table* TableSums::Find(const char* name) {
  const auto it = tables_.find(std::string_view(name));
  if (it == tables_.end() || !it->second.exists) return nullptr;
  return last_ = &it->second;
}

TableSums::Table* TableSums::Make(const std::string& name) {
  Table* const table = &tables_[name];
  table->name = name;
  return table;
}

void TableSums::Touch(Table* table) {
  if (table->batch != batch_) {
    table->batch = batch_;
    table->at_batch = table->sum;
    touched_by_batch_.push_back(table);
  }
  if (table->command != command_) {
    table->command = command_;
    table->at_command = table->sum;
    touched_by_command_.push_back(table);
  }
}

void TableSums::SetSum(Table* table, const RowSum& sum) {
  Touch(table);
  table->sum = sum;
}

size_t TableSums::OnRow(const RowChange& change) {
  if (db_ == nullptr) return 0;
  const auto& [operation, name, old_rowid, new_rowid] = change;
  const bool again = last_ != nullptr && std::strcmp(last_->name.c_str(), name) == 0;
  Table* const table = again ? last_ : Find(name);
  if (table == nullptr && IsInternalTable(name)) return 0;
  Hashed gone;
  Hashed come;
  if (table == nullptr || (operation != SQLITE_INSERT && !HashOld(table, old_rowid, &gone)) ||
      (operation != SQLITE_DELETE && !HashNew(*table, operation, new_rowid, &come))) {
    rescan_.insert(name);  // for example, created by the running statement
    return gone.bytes + come.bytes;
  }
  // A table that this command has touched was also touched by this batch.
  if (table->command != command_) Touch(table);
  if (operation != SQLITE_INSERT) table->sum.Remove(gone.hash);
  if (operation != SQLITE_DELETE) table->sum.Add(come.hash);
  return gone.bytes + come.bytes;
}

bool TableSums::HashOld(Table* table, int64_t rowid, Hashed* hashed) {
  // SQLite reports a write through a blob handle as a deletion of the row, and does not report what
  // is written. FTS5 writes so when its configuration changes.
  if (sqlite3_preupdate_blobwrite(db_) >= 0) return false;
  const TableShape& shape = table->shape;
  RowHash hash;
  if (!shape.rowid_name.empty()) hash.Rowid(rowid);
  for (size_t i = 0; i < shape.columns.size(); ++i) {
    const ShapeColumn& column = shape.columns[i];
    sqlite3_value* value = nullptr;
    const int at = shape.without_rowid ? column.number : column.storage;
    if (sqlite3_preupdate_old(db_, at, &value) != SQLITE_OK) return false;
    if (column.has_default && sqlite3_value_type(value) == SQLITE_NULL) {
      return LookUpOld(table, rowid, &hashed->hash);
    }
    hash.Value(i, value, column.as_real);
  }
  *hashed = {hash.hash(), hash.bytes()};
  return true;
}

// Looks the row up. The row may be older than the column; then it reads as having the column's
// default.
bool TableSums::LookUpOld(Table* table, int64_t rowid, uint64_t* result) {
  const TableShape& shape = table->shape;
  if (table->lookup == nullptr) {
    const std::string sql = shape.LookupSql();
    if (sql.empty()) return false;
    sqlite3_stmt* raw = nullptr;
    sqlite3_prepare_v3(db_, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT,
                       &raw, nullptr);
    table->lookup.reset(raw);
    if (raw == nullptr) return false;
  }
  sqlite3_stmt* const lookup = table->lookup.get();
  if (!shape.without_rowid) sqlite3_bind_int64(lookup, 1, rowid);
  for (const ShapeColumn& column : shape.columns) {
    if (column.key == 0) continue;
    sqlite3_value* value = nullptr;
    if (sqlite3_preupdate_old(db_, column.number, &value) != SQLITE_OK) return false;
    sqlite3_bind_value(lookup, column.key, value);
  }
  const bool found = sqlite3_step(lookup) == SQLITE_ROW;
  if (found) *result = shape.HashOf(lookup);
  sqlite3_reset(lookup);
  sqlite3_clear_bindings(lookup);
  return found;
}

bool TableSums::HashNew(const Table& table, int operation, int64_t rowid, Hashed* hashed) {
  const TableShape& shape = table.shape;
  const bool by_number = shape.without_rowid && operation != SQLITE_UPDATE;
  RowHash hash;
  if (!shape.rowid_name.empty()) hash.Rowid(rowid);
  size_t place = 0;
  for (const ShapeColumn& column : shape.columns) {
    sqlite3_value* value = nullptr;
    const int at = by_number ? column.number : column.storage;
    if (sqlite3_preupdate_new(db_, at, &value) != SQLITE_OK) return false;
    hash.Value(place++, value, column.as_real);
  }
  *hashed = {hash.hash(), hash.bytes()};
  return true;
}

// ---- The schema ---------------------------------------------------------------------------------

Status TableSums::FollowSchema() { return TakeShapes(/*follow=*/true); }
Status TableSums::ReadSchema() { return TakeShapes(/*follow=*/false); }

Status TableSums::TakeShapes(bool follow) {
  if (db_ == nullptr) return OkStatus();
  std::vector<const TableShape*> known;
  for (const auto& [row, name] : by_row_) known.push_back(&tables_.find(name)->second.shape);
  ASSIGN_OR_RETURN(std::vector<TableShape> shapes, ReadShapes(db_, known, /*internal=*/false));

  std::map<int64_t, TableShape> before;
  std::map<int64_t, RowSum> sum_before;
  for (const auto& [row, name] : by_row_) {
    Table& table = tables_.find(name)->second;
    table.exists = false;
    table.lookup.reset();
    before[row] = std::move(table.shape);
    sum_before[row] = table.sum;
    if (follow) SetSum(&table, RowSum{});
  }
  by_row_.clear();
  last_ = nullptr;
  for (TableShape& shape : shapes) {
    Table* const table = Make(shape.name);
    table->exists = true;
    by_row_[shape.row] = shape.name;
    const auto old = before.find(shape.row);
    // The hook reports neither the rows of a new table nor rows that now read differently.
    const bool same = old != before.end() && shape.HashesLike(old->second);
    if (follow && !same) rescan_.insert(shape.name);
    if (follow && same) SetSum(table, sum_before[shape.row]);
    table->shape = std::move(shape);
  }
  if (!follow) return OkStatus();
  for (const std::string& name : std::exchange(rescan_, {})) {
    Table* const table = Find(name.c_str());
    if (table == nullptr) continue;
    ASSIGN_OR_RETURN(const RowSum sum, SumOfTable(db_, table->shape, &scan_steps_));
    SetSum(table, sum);
  }
  return OkStatus();
}

// ---- Commands and batches -----------------------------------------------------------------------

void TableSums::CommandBegun() {
  touched_by_command_.clear();
  ++command_;
  scan_steps_ = 0;
}

void TableSums::CommandUndone() {
  for (Table* table : touched_by_command_) table->sum = table->at_command;
  CommandBegun();
}

Status TableSums::Flush() {
  if (db_ == nullptr) return OkStatus();
  for (const Table* table : touched_by_batch_) {
    if (table->sum == table->in_file) continue;
    if (table->sum.is_zero()) {
      RETURN_IF_ERROR(remove_.BindText(1, table->name).Run());
    } else {
      write_.BindText(1, table->name).Bind(2, table->sum.a).Bind(3, table->sum.b);
      RETURN_IF_ERROR(write_.Run());
    }
  }
  return OkStatus();
}

void TableSums::BatchCommitted() {
  for (Table* table : std::exchange(touched_by_batch_, {})) {
    table->in_file = table->sum;
    if (table->exists || !table->sum.is_zero()) continue;
    tables_.erase(tables_.find(table->name));
  }
  last_ = nullptr;
  ++batch_;
  CommandBegun();
}

void TableSums::BatchUndone() {
  for (Table* table : touched_by_batch_) table->sum = table->at_batch;
  touched_by_batch_.clear();
  rescan_.clear();
  ++batch_;
  CommandBegun();
}

std::map<std::string, RowSum> TableSums::sums() const {
  std::map<std::string, RowSum> sums;
  for (const auto& [name, table] : tables_) {
    if (!table.sum.is_zero()) sums.emplace(name, table.sum);
  }
  return sums;
}

}  // namespace cairn::state_machine
