// ChangeRecorder: the row observer that records changes for those who watch (change_ring.h).
//
// The recorder is not on every node's mind: a node records only while somebody watches there. So
// nothing that a command does may depend on the recorder. If it cannot tell a change as it is, or
// not within its memory, it says that changes are lost up to there; it never tells a wrong one.
//
// Not told: the tables of Cairn and of SQLite, and the tables behind virtual tables. The rows of a
// full-text table that stores its text (full_text_table.h) are told as rows of that table. A change of the schema is
// told as such, and not for each row that now reads otherwise; the rows that CREATE TABLE AS makes
// are told.
#pragma once

#include <sqlite3.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "state_machine/change.h"
#include "state_machine/change_ring.h"
#include "state_machine/sqlite/row_observer.h"
#include "state_machine/sqlite/schema_catalog.h"
#include "state_machine/sqlite/table_reader.h"

namespace cairn::state_machine {

// Owned by the state machine, and used on the apply thread. It outlives each engine that it
// observes.
class ChangeRecorder final : public RowObserver {
 public:
  explicit ChangeRecorder(std::shared_ptr<ChangeRing> ring) : ring_(std::move(ring)) {}

  // The database was opened, and holds the entries up to `applied`. Both pointers are valid until
  // Close.
  void Open(sqlite3* db, const SchemaCatalog* catalog, LogIndex applied);
  void Close();

  // ---- As a RowObserver
  void BatchBegun() override;
  void EntryBegun(LogIndex index) override;
  void BatchCommitted() override;
  void BatchUndone() override;
  void CommandBegun() override;
  void CommandKept() override;
  void CommandUndone() override;
  void StatementEnded() override;
  void SchemaChanged() override;
  // Returns 0, because a node that records must charge no more than one that does not.
  size_t OnRow(const RowChange& change) override;

 private:
  // A row of sqlite_schema.
  struct Object {
    std::string type, name, table, sql;
    bool is_told = false;
    bool operator==(const Object&) const = default;
  };
  using Schema = std::map<int64_t, Object>;  // by rowid

  Result<Schema> ReadSchema() const;
  // Null: the table's changes are not told.
  Result<TableReader*> ReaderOf(const char* table);
  Result<std::unique_ptr<TableReader>> OpenReader(const std::string& table) const;
  Status Record(const RowChange& change);
  Status RecordSchema();
  void TellSchema(SchemaChange::Kind kind, const Object& object);
  Status TellRowsOf(const std::string& table);
  // Reads the new row that was in doubt when it was told.
  Status SettleRow();
  Change* Tell(ChangeKind kind);
  void Count(const Row& row);
  void LoseCommand();
  // The number of changes is not known, so later changes of the entry would get wrong positions.
  void LoseEntry(const Status& why);

  const std::shared_ptr<ChangeRing> ring_;
  sqlite3* db_ = nullptr;  // null: not open
  const SchemaCatalog* catalog_ = nullptr;
  LogIndex applied_;  // of the last committed batch

  // Of the schema as the catalog knows it.
  std::map<std::string, std::unique_ptr<TableReader>, std::less<>> readers_;
  uint64_t catalog_loads_ = 0;
  std::optional<Schema> schema_;  // after the last statement; none: not known

  // The running batch.
  bool recording_ = false;
  LogIndex index_;  // of the current entry
  bool lose_entry_ = false;
  std::vector<std::shared_ptr<const CommandChanges>> kept_;
  size_t kept_bytes_ = 0;
  std::optional<ChangePosition> lost_;  // changes up to here could not be kept

  // The running command.
  uint64_t ordinal_ = 0;  // of the last change of the entry
  uint64_t ordinal_before_ = 0;
  std::shared_ptr<CommandChanges> command_;
  bool lose_command_ = false;
  bool schema_changed_ = false;
  TableReader* unsettled_ = nullptr;  // the last change's new row is in doubt
};

}  // namespace cairn::state_machine
