// SchemaCatalog: facts about the schema that the engine needs and SQLite does not report.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "state_machine/sqlite/column_growth.h"
#include "state_machine/sqlite/compile_price.h"
#include "state_machine/sqlite/expansions.h"
#include "state_machine/sqlite/joined_names.h"

namespace cairn::state_machine {

// Converts ASCII letters only, because SQLite compares names so.
std::string LowerCase(std::string_view name);
// True if the name begins with "_cairn_", in any case. Cairn's own tables have such names.
bool IsReservedName(std::string_view name);

// The tables of the main schema, by name in lower case. Owned by the engine, and used on its thread
// only.
class SchemaCatalog {
 public:
  struct Table {
    std::string name;  // in lower case
    bool is_virtual = false;
    std::string sql;             // of a virtual table
    std::string module;          // of a virtual table, in lower case
    bool calls_changes = false;  // its CREATE TABLE calls changes() or total_changes()
  };

  // Reads sqlite_schema. Called after each change of the schema, and after the undo of such a
  // change.
  Status Load(sqlite3* db);
  // How often Load was called. What was learned from the catalog holds while this stays the same.
  uint64_t loads() const { return loads_; }

  bool IsView(const std::string& lower_name) const { return views_.contains(lower_name); }
  bool HasTable(const std::string& lower_name) const { return rows_.contains(lower_name); }
  bool IsVirtual(const std::string& lower_name) const;
  // True if the text of the table calls changes() or total_changes(), such as in a DEFAULT. SQLite
  // reports no call in a DEFAULT to an authorizer.
  bool TableCallsChanges(const std::string& lower_name) const;
  // True if the name is that of a trigger whose calls of changes() or total_changes() all come
  // after a statement of the trigger that sets the answer.
  bool TriggerCallsChangesBehindItsOwn(const std::string& lower_name) const {
    return late_callers_.contains(lower_name);
  }
  std::vector<std::string> VirtualTables() const;
  bool has_virtual_tables() const { return has_virtual_tables_; }
  // The virtual table whose contents the table `lower_name` holds: its module has such a table, by
  // SQLite's rule for the names. Empty if there is none.
  std::string OwnerOfShadow(const std::string& lower_name) const;
  // The same for what is charged and held. Below kLevelDataPlatform a table NAME_WORD counts as
  // storage of the virtual table NAME, whatever the word, because nodes of Cairn 0.2.0 count so.
  std::string OwnerForCharges(const std::string& lower_name) const;
  // The feature level of the database.
  void SetLevel(uint64_t level) { level_ = level; }
  // Tables and views that the text of CREATE VIRTUAL TABLE names after USING. They include the
  // tables that the virtual table reads (the content of a full-text index, the index of a
  // vocabulary). Empty for other tables.
  std::vector<std::string> NamedBy(const std::string& lower_virtual_table) const;
  // The text that made the virtual table. Empty if there is no such virtual table.
  std::string SqlOfVirtual(const std::string& lower_name) const;
  // The table's rowid in sqlite_schema, which a RENAME does not change. 0 if there is no such
  // table.
  int64_t RowOf(const std::string& lower_name) const;
  // The name of the table at that rowid. Empty if there is none.
  std::string NameAt(int64_t row) const;
  // The number of objects with reserved names.
  int64_t reserved_objects() const { return reserved_objects_; }
  // The bytes of the text that made a trigger or a view. 0 if there is none of that name.
  uint64_t TextBytes(const std::string& lower_name) const;
  // The bytes of the longest blob literal in the definition of a table and its indexes, or of a
  // trigger or view.
  size_t LongestBlobLiteralOf(const std::string& lower_name) const;
  const Expansions& expansions() const { return expansions_; }
  const ColumnGrowth& columns() const { return columns_; }
  const SchemaPrices& prices() const { return prices_; }
  const NamesOfSchema& names() const { return names_; }
  // The price of reading the schema, in steps of a WorkBudget.
  uint64_t steps_to_read() const { return steps_to_read_; }
  // True if the schema holds a literal of more than kValueBytesAlways bytes (WorkBudget).
  bool has_long_literal() const { return has_long_literal_; }

 private:
  // Takes the text of a view or trigger.
  void AddText(const std::string& lower_name, std::string_view sql);
  // For a name NAME_WORD: NAME, if that is a virtual table. Otherwise empty.
  std::string VirtualNamedBefore(const std::string& lower_name) const;

  std::map<int64_t, Table> tables_;
  std::map<std::string, int64_t> rows_;
  std::set<std::string> views_;
  std::map<std::string, size_t> blob_literals_;  // bytes of the longest, where there is one
  std::map<std::string, uint64_t> text_bytes_;   // of triggers and views
  std::set<std::string> late_callers_;           // triggers; see TriggerCallsChangesBehindItsOwn
  Expansions expansions_;
  ColumnGrowth columns_;
  SchemaPrices prices_;
  NamesOfSchema names_;
  uint64_t loads_ = 0;
  uint64_t level_ = 0;
  int64_t reserved_objects_ = 0;
  bool has_virtual_tables_ = false;
  uint64_t steps_to_read_ = 0;
  bool has_long_literal_ = false;
};

}  // namespace cairn::state_machine
