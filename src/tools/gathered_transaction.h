// GatheredTransaction: the statements between BEGIN and COMMIT, which the shell sends as one request.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "tools/sql_text.h"

namespace cairn::tools {

// A request is a transaction, and no transaction is open between two requests. So a script's BEGIN
// only begins to gather, and nothing runs before its COMMIT. ROLLBACK, SAVEPOINT, RELEASE and
// ROLLBACK TO need no node: they say which of the statements are sent. Not thread-safe.
class GatheredTransaction {
 public:
  enum class Next {
    kRunAlone,  // no transaction is open, and the statement opens none
    kBegan,     // a BEGIN: the following statements are gathered
    kGathered,  // the statement waits for COMMIT, or moves a savepoint
    kDropped,   // a ROLLBACK: the statements so far are forgotten
    kSend,      // a COMMIT: TakeStatements has what to send
  };

  // A statement that is refused changes nothing: an open transaction stays open.
  Result<Next> Take(const StatementSplitter::Statement& statement);
  // Closes the transaction.
  std::vector<StatementSplitter::Statement> TakeStatements();
  void Drop() { TakeStatements(); }

  bool open() const { return open_; }
  size_t line() const { return line_; }  // of BEGIN

 private:
  struct Savepoint {
    std::string name;
    size_t statements = 0;  // that came before it
  };

  Result<Next> TakeWithin(const StatementSplitter::Statement& statement);
  Result<Next> RollBackTo(const std::string& name);
  Result<Next> Release(const std::string& name);
  Result<size_t> Find(const std::string& name) const;
  Result<Next> Gather(const StatementSplitter::Statement& statement);

  bool open_ = false;
  size_t line_ = 0;
  size_t bytes_ = 0;
  std::vector<StatementSplitter::Statement> statements_;
  std::vector<Savepoint> savepoints_;
};

}  // namespace cairn::tools
