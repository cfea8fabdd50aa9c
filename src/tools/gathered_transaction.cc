#include "tools/gathered_transaction.h"

namespace cairn::tools {
namespace {

// What a node takes in one request (docs/limits.md). The node refuses a request past its limits as
// a whole; here the statement that is too much is named, and memory is bounded.
constexpr size_t kStatementsMax = 16'384;
constexpr size_t kBytesMax = 16u << 20;

using Next = GatheredTransaction::Next;

bool IsOneOf(const std::string& word, std::initializer_list<const char*> words) {
  for (const char* each : words) {
    if (word == each) return true;
  }
  return false;
}

// "s" of SAVEPOINT s, RELEASE s, RELEASE SAVEPOINT s and ROLLBACK [TRANSACTION] TO [SAVEPOINT] s.
std::string SavepointName(const std::vector<std::string>& words) {
  return words.size() < 2 ? "" : words.back();
}

bool IsRollbackTo(const std::vector<std::string>& words) {
  return words.size() > 2 && (words[1] == "TO" || words[2] == "TO");
}

}  // namespace

Result<Next> GatheredTransaction::Take(const StatementSplitter::Statement& statement) {
  const std::vector<std::string> words = FirstWords(statement.sql, 5);
  const std::string verb = words.empty() ? "" : words[0];
  if (open_) return TakeWithin(statement);
  if (verb == "BEGIN") {
    open_ = true;
    line_ = statement.line;
    return Next::kBegan;
  }
  if (IsOneOf(verb, {"COMMIT", "END", "ROLLBACK", "RELEASE"})) {
    return FailedPrecondition("no transaction is open: there is no BEGIN before this " + verb);
  }
  if (verb == "SAVEPOINT") {
    return FailedPrecondition("a SAVEPOINT needs an open transaction: write BEGIN before it");
  }
  return Next::kRunAlone;
}

Result<Next> GatheredTransaction::TakeWithin(const StatementSplitter::Statement& statement) {
  const std::vector<std::string> words = FirstWords(statement.sql, 5);
  const std::string verb = words.empty() ? "" : words[0];
  if (verb == "BEGIN") {
    return FailedPrecondition("a transaction is open: COMMIT or ROLLBACK comes before BEGIN");
  }
  if (verb == "COMMIT" || verb == "END") return Next::kSend;
  if (verb == "ROLLBACK" && IsRollbackTo(words)) return RollBackTo(SavepointName(words));
  if (verb == "ROLLBACK") {
    Drop();
    return Next::kDropped;
  }
  if (verb == "SAVEPOINT") {
    savepoints_.push_back({SavepointName(words), statements_.size()});
    return Next::kGathered;
  }
  if (verb == "RELEASE") return Release(SavepointName(words));
  return Gather(statement);
}

Result<size_t> GatheredTransaction::Find(const std::string& name) const {
  for (size_t i = savepoints_.size(); i > 0; --i) {
    if (savepoints_[i - 1].name == name) return i - 1;
  }
  return FailedPrecondition("no such savepoint: " + name);
}

Result<Next> GatheredTransaction::RollBackTo(const std::string& name) {
  ASSIGN_OR_RETURN(const size_t found, Find(name));
  savepoints_.resize(found + 1);  // the savepoint itself stays
  statements_.resize(savepoints_[found].statements);
  bytes_ = 0;
  for (const StatementSplitter::Statement& each : statements_) bytes_ += each.sql.size();
  return Next::kGathered;
}

Result<Next> GatheredTransaction::Release(const std::string& name) {
  ASSIGN_OR_RETURN(const size_t found, Find(name));
  savepoints_.resize(found);
  return Next::kGathered;
}

Result<Next> GatheredTransaction::Gather(const StatementSplitter::Statement& statement) {
  if (IsQuery(statement.sql)) {
    return FailedPrecondition(
        "a query between BEGIN and COMMIT has no answer yet: the statements between them run as "
        "one command at COMMIT. Run the query before BEGIN or after COMMIT, or write RETURNING");
  }
  if (statements_.size() == kStatementsMax || bytes_ + statement.sql.size() > kBytesMax) {
    return ResourceExhausted("the transaction is larger than one command (" +
                             std::to_string(kStatementsMax) +
                             " statements, 16 MiB of text): "
                             "cut it into several, or insert several rows with one statement");
  }
  bytes_ += statement.sql.size();
  statements_.push_back(statement);
  return Next::kGathered;
}

std::vector<StatementSplitter::Statement> GatheredTransaction::TakeStatements() {
  open_ = false;
  bytes_ = 0;
  savepoints_.clear();
  return std::exchange(statements_, {});
}

}  // namespace cairn::tools
