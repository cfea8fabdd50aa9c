#include "state_machine/sqlite/charged_functions.h"

#include <gtest/gtest.h>

#include <string>

namespace cairn::state_machine {
namespace {

// Each number of arguments of each function has a statement. All statements together took 50 MB,
// for good.
TEST(ChargedFunctions, KeepFewStatementsHoweverTheyAreCalled) {
  ChargedFunctions functions;
  WorkBudget budget;
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(":memory:", &db), SQLITE_OK);
  ASSERT_TRUE(functions.Install(db, nullptr, &budget).ok());
  for (const char* name : {"json_array", "printf"}) {
    std::string arguments = "'[1]'";
    for (int count = 1; count <= 100; ++count) {
      const std::string sql = "SELECT " + std::string(name) + "(" + arguments + "), " + name +
                              "(json(" + arguments.substr(0, 5) + ")" + arguments.substr(5) + ")";
      EXPECT_EQ(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK) << sql;
      EXPECT_LE(functions.statements(), kDelegateStatementsMax);
      arguments += ", 1";
    }
  }
  EXPECT_EQ(sqlite3_close(db), SQLITE_OK);
}

}  // namespace
}  // namespace cairn::state_machine
