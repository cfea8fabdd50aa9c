// ProgramCache: the compiled statements of the writer, by their text.
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
#include "state_machine/sqlite/compile_price.h"
#include "state_machine/sqlite/held_values.h"
#include "state_machine/sqlite/index_searches.h"
#include "state_machine/sqlite/statement.h"

namespace cairn::state_machine {

// A compiled statement and the facts about it. The facts hold until the schema changes; then the
// whole cache is cleared. Without that, SQLite would recompile a program by itself. The program
// would then start with steps already counted, and would exhaust its budget at another point than
// on a node that compiled it fresh.
struct Program {
  std::string sql;
  StatementPtr stmt;
  ProgramFacts facts;
  std::vector<Column> columns;   // of RETURNING
  size_t columns_bytes = 0;      // of the names and types
  bool touches_virtual = false;  // counts changed rows, and only its own steps
  uint64_t price = 1;            // of one step
  CompilePrice text_price;       // of the text and its views
  uint64_t triggers_price = 0;   // to compile the triggers
  bool commands_index = false;   // may give a full-text table a long command
  uint64_t expansions = 0;       // of the text and its triggers, squared and summed
  bool may_flatten = true;       // subqueries, at each compilation (column_growth.h)
  uint64_t grown_tokens = 0;     // see column_growth.h
  uint64_t schema_bytes = 0;     // of triggers and views that are compiled with it
  HeldValues held;
  std::vector<IndexSearch> searches;
  // The bound on a value that the program makes (value_bound.h). 0: not known yet. An exact bound
  // is the same on all nodes.
  int value_bytes_max = 0;
  bool value_bound_is_exact = false;
  // The longest blob literal in its text, its triggers and views, and the definitions of its tables.
  size_t blob_literal_bytes = 0;
  // True if the cache may keep the program. SQLite checks the length of a literal only at its first
  // use, so a kept program could use a long literal where a fresh program may not
  // (WorkBudget::value_bytes_max).
  bool keep = true;
  // The version counters of the tables that the program writes; that of the database is first.
  // Filled at the first use. Counters keep their addresses (Versions).
  std::vector<struct VersionCounter*> counters;
};

// Owned by the engine, and used on its thread only.
class ProgramCache {
 public:
  // Null if it is not there.
  Program* Find(const std::string& sql);
  // Keeps the program if that is worthwhile: a long text without parameters will hardly come again.
  // Other programs live until the next Insert. Insert may free programs, so no other Program* may
  // be in use.
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
