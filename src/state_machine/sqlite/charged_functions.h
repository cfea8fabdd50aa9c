// ChargedFunctions: SQL functions of the writer's connection whose work is charged to the budget of
// the command, because one call may cost as much as a million steps of SQLite's machine.
//
// JSON, printf(), strftime() and quote() are SQLite's own, called on a second connection that has no file: SQLite
// does not tell how to call a function that was overridden. LIKE and GLOB count while they compare.
// count(*) goes through the rows: SQLite's own passes over a whole table in one step.
#pragma once

#include <sqlite3.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "state_machine/sqlite/json_aggregates.h"
#include "state_machine/sqlite/statement.h"
#include "state_machine/sqlite/work_budget.h"

namespace cairn::state_machine {

inline constexpr size_t kDelegateStatementsMax = 64;

// The engine's; its thread only. Must outlive the connection it is installed in.
class ChargedFunctions {
 public:
  ChargedFunctions() = default;
  ~ChargedFunctions();
  ChargedFunctions(const ChargedFunctions&) = delete;
  ChargedFunctions& operator=(const ChargedFunctions&) = delete;

  // Once. `budget` must outlive the connection, too.
  // `vfs`: says what is now.
  Status Install(sqlite3* db, const char* vfs, WorkBudget* budget);

  // Compiled statements of the second connection. At most kDelegateStatementsMax are kept.
  size_t statements() const { return statements_; }

 private:
  // What a call costs, given the bytes of its texts and blobs, in 64ths of a step; with `multiplies`
  // also a step for each 512 of the product of the first two arguments' bytes.
  struct Price {
    uint64_t per_first_byte = 1;  // of the first argument
    uint64_t per_byte = 1;
    bool by_arguments = false;  // times the number of arguments: each is looked for in the first
    bool multiplies = false;
  };
  struct Delegated {
    ChargedFunctions* owner = nullptr;
    std::string name;
    Price price;
    // By the number of arguments, and whether one of them is JSON. They are not compiled at the cost
    // of a command.
    std::map<std::pair<int, bool>, StatementPtr> statements;
  };

  Status OpenDelegate(const char* vfs);
  Status Delegate(sqlite3* db, const std::string& name, int args, const Price& price);
  static void CallDelegated(sqlite3_context* context, int argc, sqlite3_value** argv);
  static void MarkJson(sqlite3_context* context, int argc, sqlite3_value** argv);
  static uint64_t PriceOf(const Price& price, int argc, sqlite3_value** argv);
  sqlite3_stmt* StatementFor(Delegated* function, int argc, sqlite3_value** argv);

  WorkBudget* budget_ = nullptr;
  JsonAggregates json_aggregates_;
  sqlite3* delegate_ = nullptr;
  std::vector<bool> is_json_;  // of the arguments of the call under way
  std::vector<std::unique_ptr<Delegated>> delegated_;
  size_t statements_ = 0;  // of all of them
};

}  // namespace cairn::state_machine
