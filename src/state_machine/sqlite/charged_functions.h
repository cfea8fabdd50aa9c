// ChargedFunctions: SQL functions of the writer's connection that charge their work to the budget
// of the command. One call may cost as much as a million steps of SQLite's virtual machine.
//
// JSON, printf(), strftime() and quote() run SQLite's own functions (delegated_functions.h). LIKE and
// GLOB count while they compare. count(*) visits the rows; SQLite's own count(*) passes over a whole table in
// one step.
#pragma once

#include <sqlite3.h>

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "state_machine/sqlite/delegated_functions.h"
#include "state_machine/sqlite/json_aggregates.h"
#include "state_machine/sqlite/work_budget.h"

namespace cairn::state_machine {

// LIKE and GLOB alone. `budget` must outlive the connection.
Status InstallPatternFunctions(sqlite3* db, WorkBudget* budget);

// Owned by the engine, and used on its thread only. Must outlive the connection that it is
// installed in.
class ChargedFunctions {
 public:
  ChargedFunctions() = default;
  ChargedFunctions(const ChargedFunctions&) = delete;
  ChargedFunctions& operator=(const ChargedFunctions&) = delete;

  // Called once. `budget` must outlive the connection too. `vfs` gives the current time.
  Status Install(sqlite3* db, const char* vfs, WorkBudget* budget);

  // The number of compiled statements of the second connection. At most kDelegateStatementsMax.
  size_t statements() const { return delegated_.statements(); }

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
  struct Charged {
    ChargedFunctions* owner = nullptr;
    DelegatedFunctions::Function* function = nullptr;
    Price price;
  };

  Status Delegate(sqlite3* db, const std::string& name, int args, const Price& price);
  static void CallDelegated(sqlite3_context* context, int argc, sqlite3_value** argv);
  static uint64_t PriceOf(const Price& price, int argc, sqlite3_value** argv);

  WorkBudget* budget_ = nullptr;
  JsonAggregates json_aggregates_;
  DelegatedFunctions delegated_;
  std::vector<std::unique_ptr<Charged>> charged_;
};

}  // namespace cairn::state_machine
