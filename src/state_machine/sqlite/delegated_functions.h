// DelegatedFunctions: SQLite's own functions on a second connection without a file.
//
// SQLite offers no way to call a function that was overridden. So a function that counts or bounds its
// work before SQLite does it runs SQLite's function there.
#pragma once

#include <sqlite3.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "state_machine/sqlite/statement.h"

namespace cairn::state_machine {

inline constexpr size_t kDelegateStatementsMax = 64;

// Used on one thread. Must outlive the connections that call its functions.
class DelegatedFunctions {
 public:
  struct Function {
    DelegatedFunctions* owner = nullptr;
    std::string name;
    // By the number of arguments, and whether one of them is JSON. No command pays for compiling
    // them.
    std::map<std::pair<int, bool>, StatementPtr> statements = {};
  };

  DelegatedFunctions() = default;
  ~DelegatedFunctions();
  DelegatedFunctions(const DelegatedFunctions&) = delete;
  DelegatedFunctions& operator=(const DelegatedFunctions&) = delete;

  // One of the two is called, once. `vfs` gives the current time.
  Status Open(const char* vfs);
  void OpenWhenUsed(const char* vfs) { vfs_ = vfs; }
  // The function lives as long as this object.
  Function* Add(std::string name);
  // Gives the result to `context`, or the error. `allow` sees the result first. If it is false, it has
  // made the call fail.
  using Allow = std::function<bool(sqlite3_value* result)>;
  void Call(Function* function, sqlite3_context* context, int argc, sqlite3_value** argv,
            const Allow& allow);

  // The number of compiled statements. At most kDelegateStatementsMax.
  size_t statements() const { return statements_; }

 private:
  static void MarkJson(sqlite3_context* context, int argc, sqlite3_value** argv);
  sqlite3_stmt* StatementFor(Function* function, int argc, sqlite3_value** argv);

  const char* vfs_ = nullptr;
  sqlite3* connection_ = nullptr;
  std::vector<bool> is_json_;  // of the arguments of the current call
  std::vector<std::unique_ptr<Function>> functions_;
  size_t statements_ = 0;  // of all functions
};

}  // namespace cairn::state_machine
