// ProgramCache: the writer's compiled statements, by their text.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "state_machine/command.h"
#include "state_machine/sqlite/authorizer.h"
#include "state_machine/sqlite/held_values.h"
#include "state_machine/sqlite/statement.h"

namespace cairn::state_machine {

// A compiled statement and what is known of it. All of it stays right until the schema changes,
// when the whole cache is cleared: a program that SQLite recompiled by itself would start with
// steps already counted, and would meet its budget at another point than on a node that compiled it
// fresh.
struct Program {
  std::string sql;
  StatementPtr stmt;
  ProgramFacts facts;
  std::vector<Column> columns;   // of RETURNING
  size_t columns_bytes = 0;      // of their names and types
  bool touches_virtual = false;  // the rows it changes are counted, and its own steps alone
  uint64_t price = 1;            // of one of its steps
  bool commands_index = false;   // it may give a full-text table a command that takes long
  uint64_t expansions = 0;       // of its text and of its triggers, squared and summed
  bool may_flatten = true;       // its subqueries, whenever it is compiled (column_growth.h)
  uint64_t grown_tokens = 0;     // as there
  uint64_t schema_bytes = 0;     // of the texts of triggers and views that are compiled with it
  HeldValues held;
  // Of a value that it makes (value_bound.h); 0: not known yet. Exact: the same on all nodes.
  int value_bytes_max = 0;
  bool value_bound_is_exact = false;
  // Whether it may be kept. SQLite looks at the length of a literal only when it first uses it, so
  // one that is kept may do with a long one what a fresh one may not (WorkBudget::value_bytes_max).
  bool keep = true;
  // Where the sequences of the tables that it writes are kept: the database's first. Filled at the
  // first use; stable, see Versions.
  std::vector<struct VersionCounter*> counters;
};

// The engine's; its thread only.
class ProgramCache {
 public:
  // Null if it is not there.
  Program* Find(const std::string& sql);
  // Keeps it, if it is worth that: a long text without parameters will hardly come again. Else it
  // lives until the next call of Insert. May free others, so no other Program* may be in use.
  Program* Insert(Program program);
  void Clear();

 private:
  static constexpr size_t kProgramsMax = 512;
  static constexpr size_t kTextBytesMax = 1
                                          << 20;  // of all; the programs take about ten times that
  static constexpr size_t kShortTextBytes = 2048;

  void EvictLast();

  std::list<Program> lru_;  // most recently used first
  std::unordered_map<std::string_view, std::list<Program>::iterator> by_sql_;  // keys lie in lru_
  size_t text_bytes_ = 0;
  std::list<Program> passing_;  // at most one
};

}  // namespace cairn::state_machine
