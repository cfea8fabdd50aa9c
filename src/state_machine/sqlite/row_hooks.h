// RowHooks: SQLite's hooks for changed rows, on the writer's connection.
//
// SQLite calls the preupdate hook before a row changes. The hook sees the row's values and calls
// the row observers. SQLite calls the update hook afterwards, with the rowid alone. That hook
// counts rows for the budget, and detects rows that no statement may write.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "state_machine/feature_level.h"
#include "state_machine/sqlite/authorizer.h"
#include "state_machine/sqlite/index_keys.h"
#include "state_machine/sqlite/row_observer.h"
#include "state_machine/sqlite/schema_catalog.h"
#include "state_machine/sqlite/work_budget.h"

namespace cairn::state_machine {

// Owned by the engine, and used on its thread only. RowHooks, `budget` and `catalog` must outlive
// the connection.
class RowHooks {
 public:
  RowHooks(WorkBudget* budget, const SchemaCatalog* catalog) : budget_(budget), catalog_(catalog) {}

  // Adds an observer. Between batches. Observers are called in the order in which they were added.
  void Add(RowObserver* observer) { observers_.push_back(observer); }

  // Called once, before any statement of a client is compiled.
  void Install(sqlite3* db);
  // The feature level of the database. Below kLevelDataPlatform the bytes of rows and of keys cost as
  // in Cairn 0.2.0, which is far too little.
  void SetLevel(uint64_t level) { charges_writes_ = level >= kLevelDataPlatform; }
  // Sets whether the observers are called. Without them a row costs less, but a DELETE without
  // WHERE that is compiled meanwhile takes fewer steps than on other nodes.
  void Tell(bool tell);

  void BatchBegun() {
    for (RowObserver* each : observers_) each->BatchBegun();
  }
  void EntryBegun(LogIndex index) {
    for (RowObserver* each : observers_) each->EntryBegun(index);
  }
  // Called by the module of time series, in the middle of a statement.
  void OnPoints(const timeseries::WrittenPoints& points);
  void StatementEnded() {
    for (RowObserver* each : observers_) each->StatementEnded();
  }
  // The bytes to charge.
  size_t SchemaChanged() {
    size_t bytes = 0;
    for (RowObserver* each : observers_) bytes += each->SchemaChanged();
    return bytes;
  }
  void BatchCommitted() {
    for (RowObserver* each : observers_) each->BatchCommitted();
  }
  void BatchUndone() {
    for (RowObserver* each : observers_) each->BatchUndone();
  }
  void CommandBegun() {
    rows_told_ = 0;
    row_inserted_ = false;
    for (RowObserver* each : observers_) each->CommandBegun();
  }
  void CommandKept() {
    for (RowObserver* each : observers_) each->CommandKept();
  }
  void CommandUndone() {
    for (RowObserver* each : observers_) each->CommandUndone();
  }
  // Rows that were reported to observers since CommandBegun.
  uint64_t rows_told() const { return rows_told_; }
  // True if a row with a rowid was inserted since CommandBegun.
  bool row_inserted() const { return row_inserted_; }

  // `program` must outlive the statement.
  void BeginStatement(const ProgramFacts* facts) {
    rowid_exhausted_ = sets_automerge_ = false;
    facts_ = facts;
    updated_indexes_known_ = false;
  }
  // True if the statement wrote a row that no statement may write. RowRefusal says why.
  bool wrote_refused_row() const { return rowid_exhausted_ || sets_automerge_; }
  Status RowRefusal() const;

 private:
  static void OnPreupdate(void* self, sqlite3* db, int operation, const char* schema,
                          const char* table, sqlite3_int64 old_rowid, sqlite3_int64 new_rowid);
  static void OnUpdate(void* self, int operation, const char* schema, const char* table,
                       sqlite3_int64 rowid);
  void Charge(const RowChange& change, size_t bytes);
  // Learns the indexes of the table of `change`.
  void TakeTable(const RowChange& change);
  // The entries of indexes that one row changes, old and new.
  uint64_t IndexEntries(const RowChange& change) const;
  // The bytes of their keys.
  uint64_t KeyBytes(const RowChange& change, size_t row_bytes);
  bool IsFullTextStat(std::string_view table) const;

  WorkBudget* const budget_;
  const SchemaCatalog* const catalog_;
  sqlite3* db_ = nullptr;
  std::vector<RowObserver*> observers_;
  uint64_t rows_told_ = 0;
  bool row_inserted_ = false;
  // The running statement.
  bool rowid_exhausted_ = false;
  bool sets_automerge_ = false;
  const ProgramFacts* facts_ = nullptr;
  bool charges_writes_ = false;
  bool updated_indexes_known_ = false;  // of table_
  uint64_t updated_indexes_ = 0;        // by an UPDATE that keeps the rowid
  // The table of the last row, and its indexes. Valid until the catalog is loaded again.
  std::string table_;
  std::string lower_table_;
  uint64_t indexes_ = 0;
  uint64_t catalog_loads_ = 0;
  bool keys_known_ = false;
  IndexKeys keys_;
};

}  // namespace cairn::state_machine
