// TableSums: a sum over the rows of each table, kept up to date as rows change.
//
// The sums follow the rows that the engine reports to its observers. SQLite's hook does not report
// what a change of the schema does to rows, so the changed table is read again. The sums are in the
// file, written in the transaction of the entries that they follow from. They say what the rows
// should be: if a scan of the file finds another sum, the file is damaged, and a replica with other
// sums has another history. Tables of SQLite and of Cairn have no sums: a digest reads them.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/status.h"
#include "state_machine/sqlite/internal_sql.h"
#include "state_machine/sqlite/row_observer.h"
#include "state_machine/sqlite/row_sum.h"
#include "state_machine/sqlite/table_shape.h"

namespace cairn::state_machine {

// Owned by the engine, and used on its thread only.
class TableSums final : public RowObserver {
 public:
  static const char* const kSchema;

  // Reads the sums from the file. If the file has none, creates them and their table. Called within
  // a transaction.
  Status Open(sqlite3* db);
  void Close();

  // ---- As a RowObserver
  // Returns how many bytes it has hashed.
  size_t OnRow(const RowChange& change) override;
  void CommandBegun() override;
  void CommandUndone() override;
  void BatchCommitted() override;
  void BatchUndone() override;

  // ---- For the engine
  // Called after a statement changed the schema: reads the tables whose rows the change has
  // touched.
  Status FollowSchema();
  // Called after a change of the schema was undone: reads only the schema, because the sums are
  // right.
  Status ReadSchema();
  // Called at the end of each command: reads the tables that the hook could not follow.
  Status Settle() { return rescan_.empty() ? OkStatus() : FollowSchema(); }
  // Writes the sums. Called within the batch's transaction, last before the COMMIT.
  Status Flush();

  // The steps of a WorkBudget that reading tables took since the last call.
  uint64_t TakeScanSteps() { return std::exchange(scan_steps_, 0); }

  // The sums of the tables that have rows.
  std::map<std::string, RowSum> sums() const;

 private:
  struct Table {
    std::string name;
    TableShape shape;
    bool exists = false;
    RowSum sum;
    RowSum in_file;     // as of the last committed batch
    RowSum at_command;  // before the last command that touched the table
    RowSum at_batch;
    uint64_t command = 0;
    uint64_t batch = 0;
    StatementPtr lookup;
  };

  Table* Find(const char* name);
  Table* Make(const std::string& name);
  void Touch(Table* table);
  void SetSum(Table* table, const RowSum& sum);
  struct Hashed {
    uint64_t hash = 0;
    size_t bytes = 0;
  };
  bool HashOld(Table* table, int64_t rowid, Hashed* hashed);
  bool LookUpOld(Table* table, int64_t rowid, uint64_t* hash);
  bool HashNew(const Table& table, int operation, int64_t rowid, Hashed* hashed);
  Status TakeShapes(bool follow);
  Status Load();

  sqlite3* db_ = nullptr;  // null: not open
  std::map<std::string, Table, std::less<>> tables_;
  std::map<int64_t, std::string> by_row_;  // tables that exist, by their row in sqlite_schema
  Table* last_ = nullptr;                  // the table of the last row
  std::set<std::string> rescan_;
  uint64_t scan_steps_ = 0;
  uint64_t command_ = 1;
  uint64_t batch_ = 1;
  std::vector<Table*> touched_by_command_;
  std::vector<Table*> touched_by_batch_;
  InternalStatement write_;
  InternalStatement remove_;
};

}  // namespace cairn::state_machine
