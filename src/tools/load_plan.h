// LoadPlan: the tables of a local database, as a load needs them.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "tools/local_database.h"
#include "tools/virtual_table.h"

namespace cairn::tools {

// The table in which a load that is resumed notes how far it is.
inline constexpr char kMarksTable[] = "cairn_load";
// As sqlite_schema has it. A table of that name with another text is a user's own.
inline constexpr char kMarksSql[] =
    "CREATE TABLE cairn_load(input TEXT PRIMARY KEY, source TEXT NOT NULL, tables TEXT NOT NULL, "
    "rows INTEGER NOT NULL, rows_all INTEGER NOT NULL)";

// The names of tables that a load fills before they get their final names: the prefix, eight
// hexadecimal digits and an underscore.
inline constexpr char kStagePrefix[] = "_load_";
bool IsStageName(const std::string& name);

// What a load makes for itself, so that neither a dump nor a load takes it for data.
bool IsOfALoad(const std::string& name, const std::string& sql);

struct LoadTable {
  std::string name;
  std::string sql;                   // CREATE TABLE
  std::vector<std::string> columns;  // that are inserted; with the rowid if nothing else names it
  VirtualTable kind;
  std::vector<Row> settings;  // of FTS5: names and values
  bool is_virtual = false;
  bool exists = false;  // in the cluster
  uint64_t rows = 0;
  int64_t sequence = -1;  // of AUTOINCREMENT; -1: none
};
struct LoadObject {
  std::string name;
  std::string sql;
  std::string table;
  std::string type;  // index, view or trigger
};
struct LoadPlan {
  // The virtual ones are the last. Some table may have a name by which SQLite takes it for a part
  // of a virtual table. It takes rows only before the virtual table is there.
  std::vector<LoadTable> tables;
  std::vector<LoadObject> objects;  // indexes, views and triggers, in their order
  uint64_t rows = 0;
  bool has_foreign_keys = false;
  int64_t user_version = 0;
  int64_t application_id = 0;
};
// `existing`: tables of the cluster, in lower case.
Result<LoadPlan> PlanLoad(LocalDatabase* local, const std::set<std::string>& existing);

// Calls `take` for each row of the table behind the first `skip`, until it is not OK.
Status EachRow(LocalDatabase* local, const LoadTable& table, uint64_t skip,
               const std::function<Status(const Row&)>& take);

// A name of the rowid that is not the name of a column; empty: all three are.
std::string RowidName(const std::vector<std::string>& columns);

// CREATE TABLE, CREATE VIRTUAL TABLE or CREATE INDEX with another table in it.
std::string WithTable(const std::string& create, const std::string& table);

}  // namespace cairn::tools
