#include "state_machine/sqlite/row_hooks.h"

#include <limits>
#include <string>

namespace cairn::state_machine {
namespace {

// FTS3 and FTS4 keep the setting `automerge` in this row of the table NAME_stat.
constexpr sqlite3_int64 kAutomergeRow = 2;
constexpr sqlite3_int64 kRowidMax = std::numeric_limits<sqlite3_int64>::max();

}  // namespace

void RowHooks::Install(sqlite3* db) {
  db_ = db;
  sqlite3_update_hook(db, &OnUpdate, this);
  // While the preupdate hook is set, DELETE without WHERE deletes row by row, which costs steps. So
  // the hook is set on every node, before any statement is compiled.
  Tell(true);
}

void RowHooks::Tell(bool tell) { sqlite3_preupdate_hook(db_, tell ? &OnPreupdate : nullptr, this); }

Status RowHooks::RowRefusal() const {
  if (rowid_exhausted_) {
    return FailedPrecondition(
        "the rowid 9223372036854775807 is not allowed: after it, rowids "
        "would be chosen at random");
  }
  return PermissionDenied(
      "automerge of a full-text table of version 3 or 4 is refused: it merges when a "
      "transaction ends, which is not at the same place on every node; use 'merge=X,Y' as "
      "maintenance");
}

void RowHooks::OnPreupdate(void* self, sqlite3* /*db*/, int operation, const char* /*schema*/,
                           const char* table, sqlite3_int64 old_rowid, sqlite3_int64 new_rowid) {
  auto* const hooks = static_cast<RowHooks*>(self);
  ++hooks->rows_told_;
  const RowChange change{operation, table, old_rowid, new_rowid};
  size_t bytes = 0;
  {
    // An observer's own reads may take other steps on another node, so they are not counted.
    const WorkBudget::Pause pause(hooks->budget_);
    // A stored value may be larger than the statement may make now.
    const int value_bytes_max = sqlite3_limit(hooks->db_, SQLITE_LIMIT_LENGTH, kValueBytesMax);
    for (RowObserver* each : hooks->observers_) bytes += each->OnRow(change);
    sqlite3_limit(hooks->db_, SQLITE_LIMIT_LENGTH, value_bytes_max);
  }
  hooks->Charge(change, bytes);
}

void RowHooks::OnPoints(const timeseries::WrittenPoints& points) {
  size_t bytes = 0;
  {
    const WorkBudget::Pause pause(budget_);
    const int value_bytes_max = sqlite3_limit(db_, SQLITE_LIMIT_LENGTH, kValueBytesMax);
    for (RowObserver* each : observers_) bytes += each->OnPoints(points);
    sqlite3_limit(db_, SQLITE_LIMIT_LENGTH, value_bytes_max);
  }
  if (bytes > 0 && budget_->running()) budget_->Charge(bytes);
}

void RowHooks::Charge(const RowChange& change, size_t bytes) {
  uint64_t bytes_per_step = kBytesPerStep;
  if (charges_writes_) {
    switch (change.operation) {
      case SQLITE_INSERT: bytes_per_step = kInsertedBytesPerStep; break;
      case SQLITE_UPDATE: bytes_per_step = kUpdatedBytesPerStep; break;
      default: bytes_per_step = kDeletedBytesPerStep;
    }
  }
  budget_->ChargeRow(bytes, bytes_per_step);
  if (!budget_->running()) return;
  TakeTable(change);
  const uint64_t entries = IndexEntries(change);
  if (!charges_writes_) {
    budget_->Charge(entries * kStepsPerIndexEntry);
  } else if (entries > 0 || bytes > kShortRowBytes) {
    budget_->Charge(entries * kStepsPerIndexEntryNow + StepsOfKeys(KeyBytes(change, bytes)));
  }
}

void RowHooks::TakeTable(const RowChange& change) {
  if (table_ != change.table || catalog_loads_ != catalog_->loads()) {
    table_ = change.table;
    lower_table_ = LowerCase(table_);
    indexes_ = catalog_->prices().IndexesOf(lower_table_);
    catalog_loads_ = catalog_->loads();
    updated_indexes_known_ = keys_known_ = false;
  }
  if (updated_indexes_known_) return;
  updated_indexes_ = indexes_;
  const auto columns = facts_->updates.find(lower_table_);
  if (indexes_ > 0 && columns != facts_->updates.end()) {
    updated_indexes_ = catalog_->prices().IndexesOf(lower_table_, columns->second);
  }
  updated_indexes_known_ = true;
}

// SQLite searches each index for the entry of a row within a few of its steps.
uint64_t RowHooks::IndexEntries(const RowChange& change) const {
  if (change.operation != SQLITE_UPDATE) return indexes_;
  // The old entry goes, and a new one comes.
  return 2 * (change.old_rowid != change.new_rowid ? indexes_ : updated_indexes_);
}

uint64_t RowHooks::KeyBytes(const RowChange& change, size_t row_bytes) {
  // No key of a short row is worth a look.
  if (row_bytes <= kShortRowBytes) return IndexEntries(change) * row_bytes;
  if (!keys_known_) {
    const WorkBudget::Pause pause(budget_);
    keys_.Read(db_, table_);
    keys_known_ = true;
  }
  const auto columns = facts_->updates.find(lower_table_);
  const bool all = change.operation != SQLITE_UPDATE || change.old_rowid != change.new_rowid ||
                   columns == facts_->updates.end();
  return keys_.BytesOf(db_, change, row_bytes, all ? nullptr : &columns->second);
}

void RowHooks::OnUpdate(void* self, int operation, const char* /*schema*/, const char* table,
                        sqlite3_int64 rowid) {
  auto* const hooks = static_cast<RowHooks*>(self);
  hooks->budget_->CountRow();
  if (operation == SQLITE_INSERT) hooks->row_inserted_ = true;
  if (rowid == kAutomergeRow && operation == SQLITE_INSERT && hooks->IsFullTextStat(table)) {
    hooks->sets_automerge_ = true;
  }
  if (rowid == kRowidMax && operation != SQLITE_DELETE) hooks->rowid_exhausted_ = true;
}

bool RowHooks::IsFullTextStat(std::string_view table) const {
  constexpr std::string_view kSuffix = "_stat";
  if (!table.ends_with(kSuffix)) return false;
  const std::string sql =
      LowerCase(catalog_->SqlOfVirtual(LowerCase(table.substr(0, table.size() - kSuffix.size()))));
  return sql.find("fts3") != std::string::npos || sql.find("fts4") != std::string::npos;
}

}  // namespace cairn::state_machine
