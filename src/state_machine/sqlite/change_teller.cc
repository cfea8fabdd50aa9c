#include "state_machine/sqlite/change_teller.h"

#include <utility>
#include <vector>

#include "state_machine/sqlite/full_text_table.h"
#include "state_machine/sqlite/internal_sql.h"
#include "state_machine/value_bytes.h"

namespace cairn::state_machine {
namespace {

constexpr char kContentSuffix[] = "_content";

}  // namespace

void ChangeTeller::OpenDatabase(sqlite3* db, const SchemaCatalog* catalog) {
  db_ = db;
  catalog_ = catalog;
}

void ChangeTeller::CloseDatabase() {
  Forget();
  series_.Clear();
  telling_ = false;
  db_ = nullptr;
}

void ChangeTeller::Forget() {
  readers_.clear();  // they hold statements
  series_.Forget();
  schema_.reset();
  unsettled_ = nullptr;
}

// ---- Commands -----------------------------------------------------------------------------------

void ChangeTeller::BeginCommand() {
  telling_ = true;
  ordinal_before_ = ordinal_;
  schema_changed_ = false;
  unsettled_ = nullptr;
  // What the command changes in the schema is found by comparing with this.
  if (schema_.has_value()) return;
  Result<Schema> schema = ReadSchema();
  if (schema.ok()) {
    schema_ = std::move(schema).value();
  } else {
    LoseEntry(schema.status());
  }
}

bool ChangeTeller::EndCommand() {
  TellSeries();
  const bool changed = ordinal_ != ordinal_before_;
  const std::string none;
  if (changed) Tell(ChangeKind::kCommandEnd, {none, none});
  telling_ = false;
  return changed;
}

void ChangeTeller::DropCommand() {
  telling_ = false;
  ordinal_ = ordinal_before_;
  unsettled_ = nullptr;
  series_.Clear();
  if (schema_changed_) schema_.reset();
}

// ---- Changes ------------------------------------------------------------------------------------

size_t ChangeTeller::OnRow(const RowChange& change) {
  if (!telling_) return 0;
  if (const Status told = Record(change); !told.ok()) LoseEntry(told);
  return TakeWork();
}

Status ChangeTeller::Record(const RowChange& change) {
  RETURN_IF_ERROR(SettleRow());
  ASSIGN_OR_RETURN(TableReader* const reader, ReaderOf(change.table));
  if (reader == nullptr) return OkStatus();
  const ChangeKind kind = change.operation == SQLITE_INSERT   ? ChangeKind::kInsert
                          : change.operation == SQLITE_UPDATE ? ChangeKind::kUpdate
                                                              : ChangeKind::kDelete;
  const std::string& name = reader->table()->name;
  Change* const told = Tell(kind, {name, name});
  if (told == nullptr) return OkStatus();
  told->table = reader->table();
  if (kind != ChangeKind::kInsert) {
    ASSIGN_OR_RETURN(told->old_row, reader->Old(change));
    if (reader->has_rowid()) told->old_rowid = change.old_rowid;
    if (!Count(HeldBytes(told->old_row))) return OkStatus();
  }
  if (kind != ChangeKind::kDelete) {
    bool look_up = false;
    ASSIGN_OR_RETURN(told->new_row, reader->New(change, &look_up));
    // Also of a table without rowids, until the row is settled.
    told->new_rowid = change.new_rowid;
    if (look_up) {
      unsettled_ = reader;
      unsettled_change_ = told;
    } else if (!reader->has_rowid()) {
      told->new_rowid.reset();
    }
    Count(HeldBytes(told->new_row));
  }
  return OkStatus();
}

Status ChangeTeller::SettleRow() {
  TableReader* const reader = std::exchange(unsettled_, nullptr);
  if (reader == nullptr) return OkStatus();
  Change& change = *unsettled_change_;
  ASSIGN_OR_RETURN(change.new_row, reader->LookUpNew(*change.new_rowid, change.new_row));
  if (!reader->has_rowid()) change.new_rowid.reset();
  return OkStatus();
}

void ChangeTeller::StatementEnded() {
  if (!telling_) return;
  if (const Status settled = SettleRow(); !settled.ok()) LoseEntry(settled);
}

// ---- Time series --------------------------------------------------------------------------------

size_t ChangeTeller::OnPoints(const timeseries::WrittenPoints& points) {
  if (!telling_) return 0;
  ForgetOldTables();
  const Result<size_t> bytes = series_.Note(points);
  if (!bytes.ok()) {
    LoseEntry(bytes.status());
  } else if (*bytes > 0) {
    const std::string& name = points.storage->name();
    CountSeries({name, name}, *bytes);
  }
  return TakeWork();
}

void ChangeTeller::TellSeries() {
  for (SeriesTeller::Touched& each : series_.Take()) {
    const std::string& name = each.table->name;
    Change* const told = Tell(ChangeKind::kPoints, {name, name});
    if (told == nullptr) continue;
    told->table = std::move(each.table);
    told->new_row = std::move(each.row);
    Count(HeldBytes(told->new_row));
  }
}

Change* ChangeTeller::Tell(ChangeKind kind, const Subject& subject) {
  ++ordinal_;
  const ChangePosition position{index_, ordinal_};
  Change* const change = Room(kind, position, subject);
  if (change == nullptr) return nullptr;
  change->kind = kind;
  change->position = position;
  return change;
}

// ---- Tables -------------------------------------------------------------------------------------

void ChangeTeller::ForgetOldTables() {
  if (catalog_loads_ == catalog_->loads()) return;
  readers_.clear();
  series_.Forget();
  catalog_loads_ = catalog_->loads();
}

Result<TableReader*> ChangeTeller::ReaderOf(const char* table) {
  ForgetOldTables();
  const auto found = readers_.find(std::string_view(table));
  if (found != readers_.end()) return found->second.get();
  ASSIGN_OR_RETURN(std::unique_ptr<TableReader> reader, OpenReader(table));
  return (readers_[table] = std::move(reader)).get();
}

Result<std::unique_ptr<TableReader>> ChangeTeller::OpenReader(const std::string& table) const {
  if (IsInternalTable(table)) return std::unique_ptr<TableReader>();
  // The running statement creates the table, for a virtual table to store its rows in.
  if (!catalog_->HasTable(LowerCase(table))) return std::unique_ptr<TableReader>();
  const std::string owner = catalog_->OwnerOfShadow(LowerCase(table));
  if (owner.empty()) return TableReader::Open(db_, table, {});
  if (LowerCase(table) != owner + kContentSuffix) return std::unique_ptr<TableReader>();
  if (!KeepsItsText(catalog_->SqlOfVirtual(owner))) return std::unique_ptr<TableReader>();
  // The name as it was declared.
  return TableReader::Open(db_, table, table.substr(0, owner.size()));
}

// ---- The schema ---------------------------------------------------------------------------------

Result<ChangeTeller::Schema> ChangeTeller::ReadSchema() const {
  InternalStatement read;
  RETURN_IF_ERROR(
      read.Prepare(db_, "SELECT rowid, type, name, tbl_name, ifnull(sql, '') FROM sqlite_schema"));
  Schema schema;
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, read.Next());
    if (!row) return schema;
    Object object{std::string(read.Bytes(1)), std::string(read.Bytes(2)),
                  std::string(read.Bytes(3)), std::string(read.Bytes(4))};
    object.is_told =
        !IsInternalTable(object.table) && catalog_->OwnerOfShadow(LowerCase(object.table)).empty();
    schema.emplace(read.Int(0), std::move(object));
  }
}

size_t ChangeTeller::SchemaChanged() {
  if (!telling_) return 0;
  schema_changed_ = true;
  if (const Status told = RecordSchema(); !told.ok()) LoseEntry(told);
  return TakeWork();
}

Status ChangeTeller::RecordSchema() {
  ASSIGN_OR_RETURN(Schema now, ReadSchema());
  if (!schema_.has_value()) return OutOfRange("the schema before is not known");
  const Schema before = *std::exchange(schema_, now);
  // SQLite may give the row of a dropped object to a new one. An object that a virtual table takes,
  // or gives back, exists all the same.
  const auto lives_on = [](const Object& was, const Object& is) {
    return was.type == is.type && (was.name == is.name || (was.is_told && is.is_told));
  };
  for (const auto& [row, object] : before) {
    const auto after = now.find(row);
    if (!object.is_told) continue;
    if (after == now.end() || !lives_on(object, after->second)) {
      TellSchema(SchemaChange::Kind::kDropped, object);
    }
  }
  std::vector<std::string> created;
  for (const auto& [row, object] : now) {
    const auto old = before.find(row);
    if (!object.is_told) continue;
    if (old == before.end() || !lives_on(old->second, object)) {
      TellSchema(SchemaChange::Kind::kCreated, object);
      const bool has_rows = object.type == "table" && !catalog_->IsVirtual(LowerCase(object.name));
      if (has_rows) created.push_back(object.name);
    } else if (old->second.is_told && old->second != object) {
      TellSchema(SchemaChange::Kind::kAltered, object, &old->second);
    }
  }
  for (const std::string& table : created) RETURN_IF_ERROR(TellRowsOf(table));
  return OkStatus();
}

void ChangeTeller::TellSchema(SchemaChange::Kind kind, const Object& object, const Object* was) {
  const bool renamed = was != nullptr && object.type == "table" && was->name != object.name;
  Change* const told =
      Tell(ChangeKind::kSchema, {object.table, object.name, renamed ? &was->name : nullptr});
  if (told == nullptr) return;
  const bool gone = kind == SchemaChange::Kind::kDropped;
  told->schema = {kind,
                  object.type,
                  object.name,
                  object.table,
                  gone ? std::string() : object.sql,
                  renamed ? was->name : std::string()};
  Count(object.name.size() + object.table.size() + told->schema.sql.size() +
        told->schema.old_name.size());
}

// The hook does not report the rows that CREATE TABLE AS makes.
Status ChangeTeller::TellRowsOf(const std::string& table) {
  ASSIGN_OR_RETURN(TableReader* const reader, ReaderOf(table.c_str()));
  if (reader == nullptr) return OkStatus();
  InternalStatement read;
  if (Status bad = read.Prepare(db_, reader->SelectAll()); !bad.ok()) {
    // What SQLite does not compile here, it compiles on no node.
    return sqlite3_errcode(db_) == SQLITE_ERROR ? OutOfRange(bad.message()) : bad;
  }
  const int first = reader->rowid_is_selected() ? 1 : 0;
  const std::string& name = reader->table()->name;
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, read.Next());
    if (!row) return OkStatus();
    Change* const told = Tell(ChangeKind::kInsert, {name, name});
    if (told == nullptr) continue;
    told->table = reader->table();
    if (reader->rowid_place() >= 0) told->new_rowid = read.Int(reader->rowid_place());
    for (size_t i = 0; i < reader->table()->columns.size(); ++i) {
      told->new_row.push_back(read.ValueAt(first + static_cast<int>(i)));
    }
    Count(HeldBytes(told->new_row));
  }
}

}  // namespace cairn::state_machine
