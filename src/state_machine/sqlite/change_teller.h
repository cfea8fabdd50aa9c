// ChangeTeller: the row observer that tells the changes of each command, numbered, in their order.
//
// What becomes of the changes is a matter of the class that derives from it: ChangeRecorder keeps the
// recent ones in memory for those who watch this node, and RetentionRecorder keeps those of retained
// tables in the database. Both must give a change the same number, so both count by this code.
//
// Not told: the tables of Cairn and of SQLite, and the tables behind virtual tables. The rows of a
// full-text table that stores its text (full_text_table.h) are told as rows of that table. A change of
// the schema is told as such, and not for each row that now reads otherwise; the rows that CREATE TABLE
// AS makes are told. Of a time series, a command tells each series that it touches once, at the command's
// end (series_teller.h).
#pragma once

#include <sqlite3.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/ids.h"
#include "base/result.h"
#include "state_machine/change.h"
#include "state_machine/sqlite/row_observer.h"
#include "state_machine/sqlite/schema_catalog.h"
#include "state_machine/sqlite/series_teller.h"
#include "state_machine/sqlite/table_reader.h"

namespace cairn::state_machine {

// Used on the apply thread. It outlives each engine that it observes.
class ChangeTeller : public RowObserver {
 public:
  size_t OnRow(const RowChange& change) override;
  void StatementEnded() override;
  size_t SchemaChanged() override;
  size_t OnPoints(const timeseries::WrittenPoints& points) override;

 protected:
  // What a change of the schema is about.
  struct Subject {
    const std::string& table;
    const std::string& object;              // the same, unless the change is of the schema
    const std::string* old_name = nullptr;  // of a table that is renamed
  };

  // The database was opened. Both pointers are valid until CloseDatabase.
  void OpenDatabase(sqlite3* db, const SchemaCatalog* catalog);
  void CloseDatabase();
  // The schema may change unseen from now on.
  void Forget();

  void BeginEntry(LogIndex index) {
    index_ = index;
    ordinal_ = 0;
  }
  // Between BeginCommand and EndCommand or DropCommand changes are told.
  void BeginCommand();
  // The command is kept. True if it changed anything; its end is then told.
  bool EndCommand();
  // The command is undone: its numbers are given again.
  void DropCommand();
  void DropUnsettled() { unsettled_ = nullptr; }

  // Room for a change, or null if it only takes a number. The room stays valid until the next call.
  virtual Change* Room(ChangeKind kind, ChangePosition position, const Subject& subject) = 0;
  // The values that were just added to the change. False: the change is not kept.
  virtual bool Count(size_t bytes) = 0;
  // A series will be told at the end of the command, with a row of so many bytes.
  virtual void CountSeries(const Subject& /*subject*/, size_t /*bytes*/) {}
  // The changes of the entry cannot be told: their number is not known, or a row cannot be read.
  virtual void LoseEntry(const Status& why) = 0;
  // The bytes that the observer has worked on in the last call (RowObserver::OnRow).
  virtual size_t TakeWork() { return 0; }

  sqlite3* db() const { return db_; }
  LogIndex index() const { return index_; }
  uint64_t ordinal() const { return ordinal_; }

 private:
  // A row of sqlite_schema.
  struct Object {
    std::string type, name, table, sql;
    bool is_told = false;
    bool operator==(const Object&) const = default;
  };
  using Schema = std::map<int64_t, Object>;  // by rowid

  Result<Schema> ReadSchema() const;
  // What is known of tables, if the schema has changed.
  void ForgetOldTables();
  // Null: the table's changes are not told.
  Result<TableReader*> ReaderOf(const char* table);
  Result<std::unique_ptr<TableReader>> OpenReader(const std::string& table) const;
  Change* Tell(ChangeKind kind, const Subject& subject);
  Status Record(const RowChange& change);
  Status RecordSchema();
  // `was`: the object before it is altered.
  void TellSchema(SchemaChange::Kind kind, const Object& object, const Object* was = nullptr);
  Status TellRowsOf(const std::string& table);
  void TellSeries();
  // Reads the new row that was in doubt when it was told.
  Status SettleRow();

  sqlite3* db_ = nullptr;  // null: not open
  const SchemaCatalog* catalog_ = nullptr;
  SeriesTeller series_;
  // Of the schema as the catalog knows it.
  std::map<std::string, std::unique_ptr<TableReader>, std::less<>> readers_;
  uint64_t catalog_loads_ = 0;
  std::optional<Schema> schema_;  // after the last statement; none: not known

  LogIndex index_;  // of the current entry
  // The running command.
  bool telling_ = false;
  uint64_t ordinal_ = 0;  // of the last change of the entry
  uint64_t ordinal_before_ = 0;
  bool schema_changed_ = false;
  TableReader* unsettled_ = nullptr;  // the new row of the last change is in doubt
  Change* unsettled_change_ = nullptr;
};

}  // namespace cairn::state_machine
