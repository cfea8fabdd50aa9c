// ChargedFunctions: SQL functions of the writer's connection that charge their work to the budget
// of the command. One call may cost as much as a million steps of SQLite's virtual machine.
//
// JSON, printf(), strftime() and quote() run SQLite's own functions on a second connection without
// a file, because SQLite offers no way to call a function that was overridden. LIKE and GLOB count
// while they compare. count(*) visits the rows; SQLite's own count(*) passes over a whole table in
// one step.
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

// Owned by the engine, and used on its thread only. Must outlive the connection that it is
// installed in.
class ChargedFunctions {
 public:
  ChargedFunctions() = default;
  ~ChargedFunctions();
  ChargedFunctions(const ChargedFunctions&) = delete;
  ChargedFunctions& operator=(const ChargedFunctions&) = delete;

  // Called once. `budget` must outlive the connection too. `vfs` gives the current time.
  Status Install(sqlite3* db, const char* vfs, WorkBudget* budget);

  // The number of compiled statements of the second connection. At most kDelegateStatementsMax.
  size_t statements() const { return statements_; }

 private:
  // The price of a call by the bytes of its texts and blobs, in 64ths of a step. With `multiplies`,
  // a call also costs a step for each 512 of the product of the first two arguments' bytes.
  struct Price {
    uint64_t per_first_byte = 1;  // of the first argument
    uint64_t per_byte = 1;
    // Times the number of arguments, because each is searched for in the first.
    bool by_arguments = false;
    bool multiplies = false;
  };
  struct Delegated {
    ChargedFunctions* owner = nullptr;
    std::string name;
    Price price;
    // By the number of arguments, and whether one of them is JSON. No command pays for compiling
    // them.
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
  std::vector<bool> is_json_;  // of the arguments of the current call
  std::vector<std::unique_ptr<Delegated>> delegated_;
  size_t statements_ = 0;  // of all functions
};

}  // namespace cairn::state_machine
