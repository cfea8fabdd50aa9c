// RowHooks: SQLite's hooks on the rows that change, on the writer's connection.
//
// The preupdate hook comes before a row changes and has its values: it feeds the row observers. The
// update hook comes afterwards and has the rowid alone: with it the budget counts rows, and rows
// that no statement may write are found.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "state_machine/sqlite/row_observer.h"
#include "state_machine/sqlite/schema_catalog.h"
#include "state_machine/sqlite/work_budget.h"

namespace cairn::state_machine {

// The engine's; its thread only. Must outlive the connection, as `budget` and `catalog` must.
class RowHooks {
 public:
  RowHooks(WorkBudget* budget, const SchemaCatalog* catalog) : budget_(budget), catalog_(catalog) {}

  // Between batches. Observers are told in the order in which they were added.
  void Add(RowObserver* observer) { observers_.push_back(observer); }

  // Once, before any statement of a client is compiled.
  void Install(sqlite3* db);
  // Whether the observers are told of rows. Where they are not, a row costs less; but a DELETE
  // without WHERE that is compiled meanwhile takes fewer steps than on other nodes.
  void Tell(bool tell);

  void BatchBegun() {
    for (RowObserver* each : observers_) each->BatchBegun();
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
  // Rows that the observers were told of since CommandBegun.
  uint64_t rows_told() const { return rows_told_; }
  // A row with a rowid was inserted since CommandBegun.
  bool row_inserted() const { return row_inserted_; }

  void BeginStatement() { rowid_exhausted_ = sets_automerge_ = false; }
  // The statement has written a row that no statement may write; and why it may not.
  bool wrote_refused_row() const { return rowid_exhausted_ || sets_automerge_; }
  Status RowRefusal() const;

 private:
  static void OnPreupdate(void* self, sqlite3* db, int operation, const char* schema,
                          const char* table, sqlite3_int64 old_rowid, sqlite3_int64 new_rowid);
  static void OnUpdate(void* self, int operation, const char* schema, const char* table,
                       sqlite3_int64 rowid);
  bool IsFullTextStat(std::string_view table) const;

  WorkBudget* const budget_;
  const SchemaCatalog* const catalog_;
  sqlite3* db_ = nullptr;
  std::vector<RowObserver*> observers_;
  uint64_t rows_told_ = 0;
  bool row_inserted_ = false;
  // Of the statement that runs.
  bool rowid_exhausted_ = false;
  bool sets_automerge_ = false;
};

}  // namespace cairn::state_machine
