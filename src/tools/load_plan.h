// LoadPlan: the tables of a local database, as a load needs them.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "tools/local_database.h"
#include "tools/virtual_table.h"

namespace cairn::tools {

struct LoadTable {
  std::string name;
  std::string sql;                   // CREATE TABLE
  std::vector<std::string> columns;  // that are inserted; with the rowid if nothing else names it
  VirtualTable kind;
  bool is_virtual = false;
  bool exists = false;  // in the cluster
  uint64_t rows = 0;
  int64_t sequence = -1;  // of AUTOINCREMENT; -1: none
};
struct LoadObject {
  std::string sql;
  std::string table;
  bool is_index = false;
};
struct LoadPlan {
  std::vector<LoadTable> tables;
  std::vector<LoadObject> objects;  // indexes, views and triggers, in their order
  uint64_t rows = 0;
  bool has_foreign_keys = false;
};
// `existing`: tables of the cluster, in lower case.
Result<LoadPlan> PlanLoad(LocalDatabase* local, const std::set<std::string>& existing);

// CREATE TABLE, CREATE VIRTUAL TABLE or CREATE INDEX with another table in it.
std::string WithTable(const std::string& create, const std::string& table);

}  // namespace cairn::tools
