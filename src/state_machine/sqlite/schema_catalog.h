// SchemaCatalog: what the engine needs to know of the schema beside what SQLite tells it.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace cairn::state_machine {

// ASCII only, as SQLite compares names.
std::string LowerCase(std::string_view name);
// Cairn's own tables: "_cairn_", in any case.
bool IsReservedName(std::string_view name);

// The tables of the main schema, by their names in lower case. Owned by the engine, its thread
// only.
class SchemaCatalog {
 public:
  struct Table {
    std::string name;  // in lower case
    bool is_virtual = false;
    std::string sql;  // of virtual ones
  };

  // Reads sqlite_schema. To be called after each change of the schema, rolled back ones included.
  Status Load(sqlite3* db);

  bool IsView(const std::string& lower_name) const { return views_.contains(lower_name); }
  bool HasTable(const std::string& lower_name) const { return rows_.contains(lower_name); }
  bool IsVirtual(const std::string& lower_name) const;
  std::vector<std::string> VirtualTables() const;
  bool has_virtual_tables() const { return has_virtual_tables_; }
  // The virtual table that `lower_name` holds the contents of, by SQLite's rule for such names;
  // empty if there is none.
  std::string OwnerOfShadow(const std::string& lower_name) const;
  // Tables and views that the text of CREATE VIRTUAL TABLE names after USING: those that the
  // virtual table reads (the content of a full-text index, the index of its vocabulary) are among
  // them. Empty for other tables.
  std::vector<std::string> NamedBy(const std::string& lower_virtual_table) const;
  // The text that made it; empty if there is no such virtual table.
  std::string SqlOfVirtual(const std::string& lower_name) const;
  // Rowid in sqlite_schema, which a RENAME leaves as it is; 0 if there is no such table.
  int64_t RowOf(const std::string& lower_name) const;
  // Empty if there is none.
  std::string NameAt(int64_t row) const;
  // How many objects have reserved names.
  int64_t reserved_objects() const { return reserved_objects_; }
  // What it costs to read the schema, in steps of a WorkBudget.
  uint64_t steps_to_read() const { return steps_to_read_; }
  // A literal of more than WorkBudget's kValueBytesAlways bytes stands in it.
  bool has_long_literal() const { return has_long_literal_; }

 private:
  std::map<int64_t, Table> tables_;
  std::map<std::string, int64_t> rows_;
  std::set<std::string> views_;
  int64_t reserved_objects_ = 0;
  bool has_virtual_tables_ = false;
  uint64_t steps_to_read_ = 0;
  bool has_long_literal_ = false;
};

}  // namespace cairn::state_machine
