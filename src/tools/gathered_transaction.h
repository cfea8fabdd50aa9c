// GatheredTransaction: the statements of a script that the shell sends as one request.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "cairn/value.h"
#include "tools/sql_text.h"

namespace cairn::tools {

// A request is a transaction, and no transaction is open between two requests. So a script's BEGIN
// only begins to gather, and nothing runs before its COMMIT. ROLLBACK, SAVEPOINT, RELEASE and
// ROLLBACK TO need no node: they say which of the statements are sent.
//
// PRAGMA foreign_keys = OFF holds for what is gathered after it, up to PRAGMA foreign_keys = ON. A
// script may leave out BEGIN there (Prisma and Drizzle do), so all other statements are gathered,
// too. Not thread-safe.
class GatheredTransaction {
 public:
  enum class Next {
    kRunAlone,  // no transaction is open, and the statement opens none
    kBegan,     // a BEGIN: the following statements are gathered
    kKeysOff,   // a PRAGMA foreign_keys = OFF: they are gathered, too
    kGathered,  // the statement waits, moves a savepoint, or means nothing here
    kDropped,   // a ROLLBACK: the statements since BEGIN are forgotten
    kSend,      // a COMMIT or PRAGMA foreign_keys = ON: TakeStatements has what to send
  };

  // A statement that is refused changes nothing: an open transaction stays open. One that belongs to
  // the transaction and is too much for it spoils the transaction.
  Result<Next> Take(const StatementSplitter::Statement& statement);
  // Closes the transaction.
  std::vector<StatementSplitter::Statement> TakeStatements();
  // Forgets the transaction, and turns foreign keys on.
  void Drop();

  // A part of the transaction is lost, so no other part may run: without the lost part it is not what
  // its writer meant. All is refused up to the end of the transaction, its COMMIT included.
  void Spoil();

  bool open() const { return open_; }
  // Statements wait for COMMIT, or for PRAGMA foreign_keys = ON.
  bool waits() const { return open_ || spoiled_ || !statements_.empty(); }
  bool keys_off() const { return keys_off_; }
  size_t line() const { return line_; }  // of BEGIN, or of the PRAGMA
  // What is sent now does so about foreign keys.
  ForeignKeys foreign_keys() const {
    return sends_keys_off_ ? ForeignKeys::kCheckedAtEnd : ForeignKeys::kEnforced;
  }

 private:
  struct Savepoint {
    std::string name;
    size_t statements = 0;  // that came before it
  };

  Result<Next> TakeOutside(const StatementSplitter::Statement& statement, const std::string& verb);
  Result<Next> TakeSpoiled(const StatementSplitter::Statement& statement);
  Result<Next> TakeWithin(const StatementSplitter::Statement& statement);
  Result<Next> TakePragma(const PragmaSetting& pragma,
                          const StatementSplitter::Statement& statement);
  Result<Next> RollBackTo(const std::string& name);
  Result<Next> Release(const std::string& name);
  Result<size_t> Find(const std::string& name) const;
  Result<Next> Gather(const StatementSplitter::Statement& statement);
  // ROLLBACK: what came before BEGIN stays.
  Next RollBack();
  void ForgetBehind(size_t statements);

  bool open_ = false;
  bool keys_off_ = false;
  bool sends_keys_off_ = false;
  bool spoiled_ = false;
  size_t line_ = 0;
  size_t bytes_ = 0;
  std::vector<StatementSplitter::Statement> statements_;
  size_t before_begin_ = 0;  // of statements_; PRAGMA foreign_keys = OFF gathers them
  std::vector<Savepoint> savepoints_;
};

}  // namespace cairn::tools
