// What a dump or a load must know of virtual tables and of the tables that look like a part of one.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/result.h"

namespace cairn::tools {

// Whether a CREATE VIRTUAL TABLE makes a rollup of a time series, which comes with the time series.
bool IsRollup(const std::string& sql);

struct VirtualTable {
  bool has_rows = true;  // that INSERT takes; not so fts5vocab, or a full-text index of other rows
  // A full-text index of another table's rows: INSERT INTO f(f) VALUES('rebuild') makes its entries.
  bool rebuilds = false;
  bool without_content = false;  // a full-text index whose rows cannot be read
  bool is_fts5 = false;
  bool is_time_series = false;
  // Columns that must be named, beside those that SELECT * shows: the one of the rowid, and the
  // languageid of FTS4.
  std::vector<std::string> more_columns;
};
// From its CREATE VIRTUAL TABLE. INVALID_ARGUMENT if an option of a full-text table cannot be read.
Result<VirtualTable> DescribeVirtualTable(const std::string& sql);

// Finds the tables that a module keeps for itself, such as f_content of the full-text table f.
//
// SQLite calls a table a shadow table by its name alone. A full-text table with content=... keeps no
// f_content. So a table f_content is somebody's own, with rows that nothing else holds.
class ShadowTables {
 public:
  void AddVirtual(const std::string& name, const std::string& sql);
  // Call after AddVirtual for all virtual tables. `name` is of a table that SQLite calls a shadow.
  bool IsOwned(const std::string& name) const;

 private:
  std::map<std::string, std::string> virtual_tables_;  // SQL, by the name in lower case
};

// The settings of a full-text table of FTS5, without those that the module writes by itself: a query
// of names and values. INSERT INTO f(f, rank) VALUES(name, value) sets one.
std::string SettingsOfFts5(const std::string& table);

}  // namespace cairn::tools
