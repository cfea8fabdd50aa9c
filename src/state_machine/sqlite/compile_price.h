// CompilePrice: the work that SQLite does for a text of SQL before its first row, as far as the bytes of
// the text do not tell it.
//
// SQLite looks for each constant among all constants before it, and for each aggregate among all
// aggregates. For a join it tries each index of each table with each other table. Where a program opens
// a table or an index, SQLite goes through all that are open. So a text of 1 KB, a join of 60 tables with
// 64 indexes, takes 0.4 s to compile, before the first step that a budget counts. The price is computed
// from the texts, before SQLite sees them.
//
// The price is about the longest that SQLite takes. A text of an ordinary size has the price 0.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "base/status.h"

namespace cairn::state_machine {

// The bound on the price of a text without its tables, and on all triggers and views of a schema
// together: about a second.
inline constexpr uint64_t kCompileStepsMax = 50'000'000;
// What is free of charge.
inline constexpr uint64_t kCompileStepsFree = 2000;
// So many open tables and indexes make a step dearer by one step.
inline constexpr uint64_t kCursorsPerStep = 20;

// Of a text, or of a name that a text may use: a table, or a view with all that is behind it.
struct CompilePrice {
  uint64_t steps = 0;        // of a WorkBudget
  uint64_t tables = 0;       // that are opened
  uint64_t trees = 0;        // they and their indexes
  uint64_t columns_max = 1;  // of an index
};

// Null: the name is not that of a table or a view.
using FindNamed = std::function<const CompilePrice*(const std::string& lower_name)>;
CompilePrice PriceOfText(std::string_view sql, const FindNamed& find);

// INVALID_ARGUMENT if the text alone has a price above kCompileStepsMax, whatever its tables are.
Status CheckCompilePrice(std::string_view sql);

// The prices of the texts of a schema. Owned by the engine, and used on its thread only.
class SchemaPrices {
 public:
  void Clear() { *this = SchemaPrices(); }
  void AddTable(const std::string& lower_name, std::string_view sql);
  // `sql` is empty for the index of a constraint.
  void AddIndex(const std::string& lower_table, std::string_view sql);
  void AddView(const std::string& lower_name, std::string_view sql);
  void AddTrigger(const std::string& lower_name, std::string_view sql);
  // Called after all texts were added.
  void Compute();

  CompilePrice Of(std::string_view sql) const;
  // The indexes of a table, and those of them that an UPDATE of the columns changes.
  uint64_t IndexesOf(const std::string& lower_table) const;
  uint64_t IndexesOf(const std::string& lower_table, const std::set<std::string>& columns) const;
  CompilePrice OfTrigger(const std::string& lower_name) const;
  // The sum of the steps of all triggers and views.
  uint64_t total() const { return total_; }

 private:
  const CompilePrice* Find(const std::string& lower_name) const;

  std::map<std::string, std::string> view_texts_;
  std::map<std::string, std::string> trigger_texts_;
  std::map<std::string, CompilePrice> named_;  // tables, and the views that are computed
  std::map<std::string, CompilePrice> triggers_;
  // The names in each CREATE INDEX, by table. None: the index of a constraint.
  std::multimap<std::string, std::set<std::string>> index_names_;
  std::set<std::string> generated_;  // tables that may have generated columns
  uint64_t total_ = 0;
};

// INVALID_ARGUMENT if the sum is above kCompileStepsMax.
Status CheckSchemaPrice(uint64_t total);

}  // namespace cairn::state_machine
