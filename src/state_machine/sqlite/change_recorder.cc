#include "state_machine/sqlite/change_recorder.h"

#include <utility>

#include "base/log.h"
#include "state_machine/sqlite/full_text_table.h"
#include "state_machine/sqlite/internal_sql.h"
#include "state_machine/value_bytes.h"

namespace cairn::state_machine {
namespace {

constexpr char kContentSuffix[] = "_content";

}  // namespace

void ChangeRecorder::Open(sqlite3* db, const SchemaCatalog* catalog, LogIndex applied) {
  db_ = db;
  catalog_ = catalog;
  applied_ = index_ = applied;
  ring_->Reset(applied);
}

void ChangeRecorder::Close() {
  readers_.clear();  // they hold statements
  schema_.reset();
  command_.reset();
  kept_.clear();
  recording_ = false;
  db_ = nullptr;
}

// ---- Batches ------------------------------------------------------------------------------------

void ChangeRecorder::BatchBegun() {
  if (db_ == nullptr) return;
  index_ = applied_;
  recording_ = ring_->BatchBegun(applied_);
  kept_bytes_ = 0;
  lost_.reset();
  if (!recording_) {
    schema_.reset();
    readers_.clear();
  }
}

void ChangeRecorder::EntryBegun(LogIndex index) {
  index_ = index;
  ordinal_ = 0;
  lose_entry_ = false;
}

void ChangeRecorder::BatchCommitted() {
  if (db_ == nullptr) return;
  applied_ = index_;
  ring_->BatchCommitted(applied_, std::exchange(kept_, {}), lost_);
  recording_ = false;
}

void ChangeRecorder::BatchUndone() {
  if (db_ == nullptr) return;
  kept_.clear();
  command_.reset();
  unsettled_ = nullptr;
  schema_.reset();
  recording_ = false;
  ring_->BatchUndone();
}

// ---- Commands -----------------------------------------------------------------------------------

void ChangeRecorder::CommandBegun() {
  if (!recording_) return;
  ordinal_before_ = ordinal_;
  command_ = std::make_shared<CommandChanges>();
  lose_command_ = false;
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

void ChangeRecorder::CommandKept() {
  if (!recording_) return;
  const bool changed = ordinal_ != ordinal_before_;
  if (changed) Tell(ChangeKind::kCommandEnd);
  const ChangePosition end = lose_entry_ ? EndOf(index_) : ChangePosition{index_, ordinal_};
  const std::shared_ptr<CommandChanges> command = std::move(command_);
  if (lose_entry_ || lose_command_) {
    lost_ = end;
    kept_.clear();
    kept_bytes_ = 0;
  } else if (changed) {
    kept_bytes_ += command->bytes;
    kept_.push_back(command);
  }
  // The ring keeps no more than this.
  size_t gone = 0;
  for (; kept_bytes_ > ring_->bytes_max(); ++gone) {
    lost_ = kept_[gone]->changes.back().position;
    kept_bytes_ -= kept_[gone]->bytes;
  }
  kept_.erase(kept_.begin(), kept_.begin() + static_cast<ptrdiff_t>(gone));
}

void ChangeRecorder::CommandUndone() {
  if (!recording_) return;
  ordinal_ = ordinal_before_;
  command_.reset();
  unsettled_ = nullptr;
  if (schema_changed_) schema_.reset();
}

void ChangeRecorder::LoseCommand() {
  lose_command_ = true;
  unsettled_ = nullptr;
  command_->changes.clear();
  command_->bytes = 0;
}

void ChangeRecorder::LoseEntry(const Status& why) {
  if (!std::exchange(lose_entry_, true)) {
    LOG_WARN("watchers lose the changes of an entry index={} error={}", index_.value(),
             why.message());
  }
  LoseCommand();
}

// ---- Changes ------------------------------------------------------------------------------------

size_t ChangeRecorder::OnRow(const RowChange& change) {
  if (!recording_ || command_ == nullptr) return 0;
  if (const Status told = Record(change); !told.ok()) LoseEntry(told);
  return 0;
}

Status ChangeRecorder::Record(const RowChange& change) {
  RETURN_IF_ERROR(SettleRow());
  ASSIGN_OR_RETURN(TableReader* const reader, ReaderOf(change.table));
  if (reader == nullptr) return OkStatus();
  const ChangeKind kind = change.operation == SQLITE_INSERT   ? ChangeKind::kInsert
                          : change.operation == SQLITE_UPDATE ? ChangeKind::kUpdate
                                                              : ChangeKind::kDelete;
  Change* const told = Tell(kind);
  if (told == nullptr) return OkStatus();
  told->table = reader->table();
  if (kind != ChangeKind::kInsert) {
    ASSIGN_OR_RETURN(told->old_row, reader->Old(change));
    if (reader->has_rowid()) told->old_rowid = change.old_rowid;
    Count(told->old_row);
    if (lose_command_) return OkStatus();
  }
  if (kind != ChangeKind::kDelete) {
    bool look_up = false;
    ASSIGN_OR_RETURN(told->new_row, reader->New(change, &look_up));
    // Also of a table without rowids, until the row is settled.
    told->new_rowid = change.new_rowid;
    if (look_up) {
      unsettled_ = reader;
    } else if (!reader->has_rowid()) {
      told->new_rowid.reset();
    }
    Count(told->new_row);
  }
  return OkStatus();
}

Status ChangeRecorder::SettleRow() {
  TableReader* const reader = std::exchange(unsettled_, nullptr);
  if (reader == nullptr) return OkStatus();
  Change& change = command_->changes.back();
  ASSIGN_OR_RETURN(change.new_row, reader->LookUpNew(*change.new_rowid, change.new_row));
  if (!reader->has_rowid()) change.new_rowid.reset();
  return OkStatus();
}

void ChangeRecorder::StatementEnded() {
  if (!recording_ || command_ == nullptr) return;
  if (const Status settled = SettleRow(); !settled.ok()) LoseEntry(settled);
}

// Null if the command's changes are lost. They are counted all the same.
Change* ChangeRecorder::Tell(ChangeKind kind) {
  ++ordinal_;
  if (lose_entry_ || lose_command_) return nullptr;
  Change& change = command_->changes.emplace_back();
  change.kind = kind;
  change.position = {index_, ordinal_};
  command_->bytes += sizeof(Change);
  return &change;
}

void ChangeRecorder::Count(const Row& row) {
  command_->bytes += HeldBytes(row);
  if (command_->bytes > ring_->bytes_max()) LoseCommand();
}

// ---- Tables -------------------------------------------------------------------------------------

Result<TableReader*> ChangeRecorder::ReaderOf(const char* table) {
  if (catalog_loads_ != catalog_->loads()) {
    readers_.clear();
    catalog_loads_ = catalog_->loads();
  }
  const auto found = readers_.find(std::string_view(table));
  if (found != readers_.end()) return found->second.get();
  ASSIGN_OR_RETURN(std::unique_ptr<TableReader> reader, OpenReader(table));
  return (readers_[table] = std::move(reader)).get();
}

Result<std::unique_ptr<TableReader>> ChangeRecorder::OpenReader(const std::string& table) const {
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

Result<ChangeRecorder::Schema> ChangeRecorder::ReadSchema() const {
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

void ChangeRecorder::SchemaChanged() {
  if (!recording_ || command_ == nullptr) return;
  schema_changed_ = true;
  if (const Status told = RecordSchema(); !told.ok()) LoseEntry(told);
}

Status ChangeRecorder::RecordSchema() {
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
      TellSchema(SchemaChange::Kind::kAltered, object);
    }
  }
  for (const std::string& table : created) RETURN_IF_ERROR(TellRowsOf(table));
  return OkStatus();
}

void ChangeRecorder::TellSchema(SchemaChange::Kind kind, const Object& object) {
  Change* const told = Tell(ChangeKind::kSchema);
  if (told == nullptr) return;
  const bool gone = kind == SchemaChange::Kind::kDropped;
  told->schema = {kind, object.type, object.name, object.table, gone ? std::string() : object.sql};
  command_->bytes += object.name.size() + object.table.size() + told->schema.sql.size();
  if (command_->bytes > ring_->bytes_max()) LoseCommand();
}

// The hook does not report the rows that CREATE TABLE AS makes.
Status ChangeRecorder::TellRowsOf(const std::string& table) {
  ASSIGN_OR_RETURN(TableReader* const reader, ReaderOf(table.c_str()));
  if (reader == nullptr) return OkStatus();
  InternalStatement read;
  RETURN_IF_ERROR(read.Prepare(db_, reader->SelectAll()));
  const int first = reader->rowid_is_selected() ? 1 : 0;
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, read.Next());
    if (!row) return OkStatus();
    Change* const told = Tell(ChangeKind::kInsert);
    if (told == nullptr) continue;
    told->table = reader->table();
    if (first == 1) told->new_rowid = read.Int(0);
    for (size_t i = 0; i < reader->table()->columns.size(); ++i) {
      told->new_row.push_back(read.ValueAt(first + static_cast<int>(i)));
    }
    Count(told->new_row);
  }
}

}  // namespace cairn::state_machine
