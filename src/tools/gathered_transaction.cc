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

// PRAGMA foreign_key_check is made at the end in any case.
bool ChecksKeys(const std::string& sql) {
  const std::vector<std::string> words = FirstWords(sql, 2);
  return words.size() == 2 && words[0] == "PRAGMA" && words[1] == "FOREIGN_KEY_CHECK";
}

}  // namespace

Result<Next> GatheredTransaction::Take(const StatementSplitter::Statement& statement) {
  if (spoiled_) return TakeSpoiled(statement);
  if (const auto pragma = ParsePragmaSetting(statement.sql)) {
    if (pragma->name == "FOREIGN_KEYS" || pragma->name == "DEFER_FOREIGN_KEYS") {
      return TakePragma(*pragma, statement);
    }
  }
  if (keys_off_ && waits() && ChecksKeys(statement.sql)) return Next::kGathered;
  if (open_) return TakeWithin(statement);
  const std::vector<std::string> words = FirstWords(statement.sql, 1);
  return TakeOutside(statement, words.empty() ? "" : words[0]);
}

Result<Next> GatheredTransaction::TakeSpoiled(const StatementSplitter::Statement& statement) {
  const std::vector<std::string> words = FirstWords(statement.sql, 3);
  const std::string verb = words.empty() ? "" : words[0];
  const auto pragma = ParsePragmaSetting(statement.sql);
  const bool keys_on = !open_ && pragma && pragma->name == "FOREIGN_KEYS" &&
                       !IsOneOf(pragma->value, {"OFF", "0", "NO", "FALSE"});
  if (open_ && verb == "ROLLBACK" && !IsRollbackTo(words)) return RollBack();
  if (keys_on) keys_off_ = false;
  if (keys_on || (open_ && IsOneOf(verb, {"COMMIT", "END"}))) {
    TakeStatements();
    return Aborted("nothing of the transaction has run, because a part of it was refused");
  }
  return FailedPrecondition(
      std::string("not run: an earlier part of the transaction was refused. ") +
      (open_ ? "ROLLBACK" : "PRAGMA foreign_keys = ON") + " ends it");
}

Result<Next> GatheredTransaction::TakeOutside(const StatementSplitter::Statement& statement,
                                              const std::string& verb) {
  if (verb == "BEGIN") {
    open_ = true;
    before_begin_ = statements_.size();
    if (statements_.empty()) line_ = statement.line;
    return Next::kBegan;
  }
  if (IsOneOf(verb, {"COMMIT", "END", "ROLLBACK", "RELEASE"})) {
    return FailedPrecondition("no transaction is open: there is no BEGIN before this " + verb);
  }
  if (verb == "SAVEPOINT") {
    return FailedPrecondition("a SAVEPOINT needs an open transaction: write BEGIN before it");
  }
  if (!keys_off_ || (statements_.empty() && IsQuery(statement.sql))) return Next::kRunAlone;
  if (statements_.empty()) line_ = statement.line;
  return Gather(statement);
}

Result<Next> GatheredTransaction::TakePragma(const PragmaSetting& pragma,
                                             const StatementSplitter::Statement& statement) {
  const bool off = IsOneOf(pragma.value, {"OFF", "0", "NO", "FALSE"});
  if (pragma.name == "DEFER_FOREIGN_KEYS") {
    // Outside of a transaction it has no effect. Within one, foreign keys that are off are checked
    // at the end.
    if (!open_ || keys_off_ || off) return Next::kGathered;
    return FailedPrecondition(
        "foreign keys cannot be deferred for one transaction: write PRAGMA foreign_keys = OFF "
        "before its BEGIN and PRAGMA foreign_keys = ON after its COMMIT, and they are checked at "
        "its end");
  }
  if (open_) {
    return FailedPrecondition(
        "PRAGMA foreign_keys has no effect within a transaction: write it before BEGIN");
  }
  if (off) {
    if (keys_off_) return Next::kGathered;
    keys_off_ = true;
    sends_keys_off_ = true;
    line_ = statement.line;
    return Next::kKeysOff;
  }
  if (!keys_off_) return Next::kRunAlone;
  keys_off_ = false;
  if (!statements_.empty()) return Next::kSend;
  sends_keys_off_ = false;
  return Next::kGathered;
}

Result<Next> GatheredTransaction::TakeWithin(const StatementSplitter::Statement& statement) {
  const std::vector<std::string> words = FirstWords(statement.sql, 5);
  const std::string verb = words.empty() ? "" : words[0];
  if (verb == "BEGIN") {
    return FailedPrecondition("a transaction is open: COMMIT or ROLLBACK comes before BEGIN");
  }
  if (verb == "COMMIT" || verb == "END") return Next::kSend;
  if (verb == "ROLLBACK" && IsRollbackTo(words)) return RollBackTo(SavepointName(words));
  if (verb == "ROLLBACK") return RollBack();
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
  ForgetBehind(savepoints_[found].statements);
  return Next::kGathered;
}

Next GatheredTransaction::RollBack() {
  open_ = false;
  spoiled_ = false;
  savepoints_.clear();
  ForgetBehind(before_begin_);
  return Next::kDropped;
}

void GatheredTransaction::ForgetBehind(size_t statements) {
  statements_.resize(statements);
  bytes_ = 0;
  for (const StatementSplitter::Statement& each : statements_) bytes_ += each.sql.size();
}

Result<Next> GatheredTransaction::Release(const std::string& name) {
  ASSIGN_OR_RETURN(const size_t found, Find(name));
  savepoints_.resize(found);
  return Next::kGathered;
}

Result<Next> GatheredTransaction::Gather(const StatementSplitter::Statement& statement) {
  if (const auto pragma = ParsePragmaSetting(statement.sql); pragma && IsQuery(statement.sql)) {
    // A dump of sqlite3 writes full-text tables so.
    if (pragma->name == "WRITABLE_SCHEMA") {
      return FailedPrecondition(
          "nobody writes to the schema of a cluster: `cairn load` takes a dump with this PRAGMA");
    }
    return FailedPrecondition("PRAGMA " + pragma->name +
                              " is no part of a transaction: write it before BEGIN");
  }
  if (IsQuery(statement.sql)) {
    return FailedPrecondition(
        "a query between BEGIN and COMMIT has no answer yet: the statements between them run as "
        "one command at COMMIT. Run the query before BEGIN or after COMMIT, or write RETURNING");
  }
  if (statements_.size() == kStatementsMax || bytes_ + statement.sql.size() > kBytesMax) {
    Spoil();
    return ResourceExhausted("the transaction is larger than one command (" +
                             std::to_string(kStatementsMax) +
                             " statements, 16 MiB of text): "
                             "cut it into several, insert several rows with one statement, or use "
                             "`cairn load`");
  }
  bytes_ += statement.sql.size();
  statements_.push_back(statement);
  return Next::kGathered;
}

std::vector<StatementSplitter::Statement> GatheredTransaction::TakeStatements() {
  open_ = false;
  spoiled_ = false;
  bytes_ = 0;
  before_begin_ = 0;
  savepoints_.clear();
  sends_keys_off_ = keys_off_;
  return std::exchange(statements_, {});
}

void GatheredTransaction::Spoil() {
  if (!waits()) return;
  spoiled_ = true;
  savepoints_.clear();
  if (!open_) before_begin_ = 0;
  ForgetBehind(before_begin_);
}

void GatheredTransaction::Drop() {
  keys_off_ = false;
  TakeStatements();
}

}  // namespace cairn::tools
