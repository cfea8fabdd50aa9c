#include "state_machine/sqlite/proposal_check.h"

#include <strings.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/text.h"
#include "state_machine/sqlite/column_growth.h"
#include "state_machine/sqlite/compile_price.h"
#include "state_machine/sqlite/expansions.h"
#include "state_machine/sqlite/joined_names.h"
#include "state_machine/sqlite/pragmas.h"
#include "state_machine/sqlite/sql_scan.h"
#include "state_machine/sqlite/statement.h"
#include "state_machine/value_bytes.h"

namespace cairn::state_machine {
namespace {

// Texts that come again are short. Longer ones are generated, and would only fill the memory.
constexpr size_t kCachedTextBytesMax = 4 << 10;

// True if the error comes from SQLite's tokenizer or grammar, which know no schema. Any other error
// may go away in another state of the database. If it does not, all members decide alike when they
// apply the command.
bool IsSyntaxError(std::string_view message) {
  return (message.starts_with("near \"") && message.ends_with("\": syntax error")) ||
         message == "incomplete input" || message.starts_with("unrecognized token: ") ||
         message.starts_with("variable number must be between ") ||
         message == "too many SQL variables" || message.starts_with("parser stack overflow");
}

Status UseQuery() {
  return InvalidArgument(
      "this statement only reads, which needs no entry in the log: use cairn.v1.Database.Query");
}

// Of a PRAGMA that is no part of a write.
Status RefusalOfPragma(const std::string& name, const std::string& value) {
  const Result<std::optional<std::string>> answer = AnswerToPragma(name, value);
  if (!answer.ok()) return answer.status();
  return answer->has_value() ? UseQuery() : PermissionDenied("PRAGMA " + name + " may not be used");
}

// The verdict on a kind of statement that is never right in Execute or Prepare. OK for other kinds.
Status CheckKind(SqlKind kind) {
  switch (kind) {
    case SqlKind::kEmpty: return InvalidArgument("the text holds no statement");
    case SqlKind::kRead: return UseQuery();
    case SqlKind::kTransaction:
      return InvalidArgument(
          "a transaction is not opened by a statement: Prepare each of its statements and Commit "
          "them, "
          "or send all of them in one cairn.v1.Database.Execute");
    case SqlKind::kAttach:
      return PermissionDenied("ATTACH and DETACH act on one node's files and are not replicated");
    case SqlKind::kVacuum:
      return PermissionDenied(
          "VACUUM acts on one node's file, and may renumber rowids: it is not replicated");
    case SqlKind::kTemporary:
      return PermissionDenied("TEMP objects belong to one connection and are not replicated");
    case SqlKind::kWrite:
    case SqlKind::kPragma:
    case SqlKind::kUnknown: return OkStatus();
  }
  return OkStatus();
}

// An authorizer. It sees the names that SQLite resolves without a schema. `why` is a Status.
int Authorize(void* why, int action, const char* a, const char* b, const char* db, const char*) {
  auto* const denied = static_cast<Status*>(why);
  // SQLite reports CREATE TABLE temp.t as SQLITE_CREATE_TABLE in "temp", after an insert into the
  // schema of "temp".
  if (action == SQLITE_INSERT && db != nullptr && strcasecmp(db, "temp") == 0) {
    *denied = CheckKind(SqlKind::kTemporary);
    return SQLITE_DENY;
  }
  switch (action) {
    case SQLITE_CREATE_TEMP_INDEX:
    case SQLITE_CREATE_TEMP_TABLE:
    case SQLITE_CREATE_TEMP_TRIGGER:
    case SQLITE_CREATE_TEMP_VIEW: *denied = CheckKind(SqlKind::kTemporary); return SQLITE_DENY;
    case SQLITE_FUNCTION:
      if (b == nullptr || strcasecmp(b, "load_extension") != 0) return SQLITE_OK;
      *denied = PermissionDenied("load_extension() may not be used");
      return SQLITE_DENY;
    case SQLITE_PRAGMA:
      switch (ClassifyPragma(a, b != nullptr)) {
        case PragmaUse::kWrite: return SQLITE_OK;
        case PragmaUse::kRead: *denied = UseQuery(); return SQLITE_DENY;
        case PragmaUse::kRefused:
          *denied = RefusalOfPragma(a, b == nullptr ? "" : b);
          return SQLITE_DENY;
      }
      return SQLITE_DENY;
    default: return SQLITE_OK;
  }
}

Status CheckTxId(const std::string& tx_id) {
  if (tx_id.empty()) return InvalidArgument("the transaction id is empty");
  if (tx_id.size() > kTxIdBytesMax) {
    return InvalidArgument("the transaction id has " + std::to_string(tx_id.size()) +
                           " bytes; at most " + std::to_string(kTxIdBytesMax) + " are allowed");
  }
  if (!IsValidUtf8(tx_id)) return InvalidArgument("the transaction id is not valid UTF-8");
  return OkStatus();
}

// Checks the numbers and the bytes of all statements together, so that every decoder accepts the
// command. It counts the contents and the most that an item can add, which is a little more than
// the encoding takes.
Status CheckSizes(const Statement* statements, size_t count, size_t expectations) {
  constexpr size_t kOverheadBytes = 16;
  constexpr size_t kExpectationBytes = 11;
  if (count > kStatementsPerCommandMax) {
    return InvalidArgument(std::to_string(count) + " statements in one request; at most " +
                           std::to_string(kStatementsPerCommandMax) + " are allowed");
  }
  size_t values = 0;
  size_t bytes = 2 * (kSessionBytesMax + kTxIdBytesMax) + expectations * kExpectationBytes;
  for (size_t i = 0; i < count; ++i) {
    const Statement& s = statements[i];
    values += s.positional.size() + s.named.size();
    bytes += s.sql.size() + kOverheadBytes;
    for (const Value& value : s.positional) bytes += ContentBytes(value) + kOverheadBytes;
    for (const NamedValue& named : s.named) {
      bytes += named.name.size() + ContentBytes(named.value) + kOverheadBytes;
    }
  }
  if (values > kValuesPerCommandMax) {
    return InvalidArgument(std::to_string(values) + " values in one request; at most " +
                           std::to_string(kValuesPerCommandMax) + " are allowed");
  }
  if (bytes > kCommandBytesMax) {
    return InvalidArgument("the request has " + std::to_string(bytes) + " bytes; at most " +
                           std::to_string(kCommandBytesMax) + " are allowed");
  }
  return OkStatus();
}

// The name of a parameter in messages.
std::string NameOf(const std::vector<NamedParameter>& names, size_t number) {
  for (const NamedParameter& parameter : names) {
    if (parameter.number == number) return parameter.name;
  }
  return "?" + std::to_string(number);
}

// The number of the parameter `name`, which may lack its prefix. 0 if there is none.
size_t FindName(const std::vector<NamedParameter>& names, const std::string& name) {
  const auto find = [&names](const std::string& full) {
    for (const NamedParameter& parameter : names) {
      if (parameter.name == full) return parameter.number;
    }
    return size_t{0};
  };
  if (name.empty()) return 0;
  if (name[0] == ':' || name[0] == '@' || name[0] == '$') return find(name);
  for (const char prefix : {':', '@', '$'}) {
    const size_t number = find(prefix + name);
    if (number != 0) return number;
  }
  return 0;
}

Status CheckText(const Value& value, const std::vector<NamedParameter>& names, size_t number) {
  const auto* text = std::get_if<std::string>(&value);
  if (text == nullptr || IsValidUtf8(*text)) return OkStatus();
  return InvalidArgument("the value of parameter " + NameOf(names, number) +
                         " is not valid UTF-8; bytes belong in a blob");
}

// Checks that each parameter gets exactly one value, by number or by name, as BindParameters
// demands.
Status CheckValues(const Statement& statement, size_t parameters,
                   const std::vector<NamedParameter>& names) {
  const size_t positional = statement.positional.size();
  if (positional > parameters) {
    return InvalidArgument("the statement has " + Counted(parameters, "parameter") + ", but " +
                           Counted(positional, "positional value") + " came with it");
  }
  for (size_t i = 0; i < positional; ++i) {
    RETURN_IF_ERROR(CheckText(statement.positional[i], names, i + 1));
  }
  if (positional == parameters && statement.named.empty()) return OkStatus();

  std::vector<bool> given(parameters + 1);
  std::fill_n(given.begin() + 1, positional, true);
  for (const NamedValue& named : statement.named) {
    const size_t number = FindName(names, named.name);
    if (number == 0) {
      return InvalidArgument("the statement has no parameter named '" + named.name + "'");
    }
    if (given[number]) {
      return InvalidArgument("parameter " + NameOf(names, number) + " was given two values");
    }
    given[number] = true;
    RETURN_IF_ERROR(CheckText(named.value, names, number));
  }
  for (size_t number = 1; number <= parameters; ++number) {
    if (given[number]) continue;
    return InvalidArgument("the statement has " + Counted(parameters, "parameter") +
                           "; no value was given for " + NameOf(names, number));
  }
  return OkStatus();
}

}  // namespace

ProposalChecker::ProposalChecker(size_t texts_cached_max) : texts_cached_max_(texts_cached_max) {
  const int rc =
      sqlite3_open_v2(":memory:", &scratch_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  CHECK(rc == SQLITE_OK) << "no memory for a scratch connection: " << rc;
  sqlite3_set_authorizer(scratch_, &Authorize, &denied_);
  AllowFlattening(scratch_, false);  // nothing runs here
}

ProposalChecker::~ProposalChecker() { sqlite3_close(scratch_); }

Status ProposalChecker::Check(const Command& command) {
  if (command.id.session.size() > kSessionBytesMax) {
    return InvalidArgument("the session has " + std::to_string(command.id.session.size()) +
                           " bytes; at most " + std::to_string(kSessionBytesMax) + " are allowed");
  }
  if (const auto* execute = std::get_if<Execute>(&command.operation)) {
    const std::vector<Statement>& statements = execute->statements;
    if (statements.empty()) return InvalidArgument("the request holds no statement");
    RETURN_IF_ERROR(CheckSizes(statements.data(), statements.size(), execute->expect.size()));
    for (size_t i = 0; i < statements.size(); ++i) {
      Status status = CheckStatement(statements[i]);
      if (!status.ok()) return FailureOf(i, statements.size(), std::move(status));
    }
    return OkStatus();
  }
  if (const auto* prepare = std::get_if<Prepare>(&command.operation)) {
    RETURN_IF_ERROR(CheckTxId(prepare->tx_id));
    RETURN_IF_ERROR(CheckSizes(&prepare->statement, 1, 0));
    return CheckStatement(prepare->statement);
  }
  if (const auto* commit = std::get_if<Commit>(&command.operation)) return CheckTxId(commit->tx_id);
  if (const auto* rollback = std::get_if<Rollback>(&command.operation)) {
    return CheckTxId(rollback->tx_id);
  }
  return OkStatus();
}

Status ProposalChecker::CheckStatement(const Statement& statement) {
  const VerdictPtr verdict = Judge(statement.sql);
  RETURN_IF_ERROR(verdict->status);
  return CheckValues(statement, verdict->parameters, verdict->names);
}

ProposalChecker::VerdictPtr ProposalChecker::Judge(const std::string& sql) {
  const bool cacheable = sql.size() <= kCachedTextBytesMax;
  if (cacheable) {
    MutexLock lock(cache_mutex_);
    const auto it = cache_.find(sql);
    if (it != cache_.end()) {
      lru_.splice(lru_.begin(), lru_, it->second);
      return it->second->second;
    }
  }
  auto verdict = std::make_shared<const Verdict>(JudgeAnew(sql));
  if (!cacheable) return verdict;
  MutexLock lock(cache_mutex_);
  if (cache_.find(sql) != cache_.end()) return verdict;  // another thread was faster
  if (lru_.size() >= texts_cached_max_) {
    cache_.erase(lru_.back().first);
    lru_.pop_back();
  }
  lru_.emplace_front(sql, verdict);
  cache_.emplace(lru_.front().first, lru_.begin());
  return verdict;
}

ProposalChecker::Verdict ProposalChecker::JudgeAnew(const std::string& sql) {
  Verdict verdict;
  verdict.status = CheckSqlText(sql, LongLiterals::kAreFree);
  if (!verdict.status.ok()) return verdict;
  SqlScan scan = ScanSql(sql);
  verdict.status = CheckKind(scan.kind);
  if (!verdict.status.ok()) return verdict;
  if (scan.several) {
    verdict.status = InvalidArgument(
        "the text holds more than one statement; send each by itself, or all of them as the "
        "statements "
        "of one cairn.v1.Database.Execute");
    return verdict;
  }
  verdict.status = CheckJoinsOfWrite(sql);
  if (verdict.status.ok()) verdict.status = CheckExpansions(ExpansionsOf(sql));
  if (verdict.status.ok()) verdict.status = CheckCompilePrice(sql);
  if (!verdict.status.ok()) return verdict;
  // Several requests are checked at a time, so the parser gets no text that takes much memory.
  if (sql.size() <= kSqlBytesMax) verdict.status = CheckSyntax(sql);
  verdict.parameters = scan.parameters;
  verdict.names = std::move(scan.names);
  return verdict;
}

Status ProposalChecker::CheckSyntax(const std::string& sql) {
  MutexLock lock(scratch_mutex_);
  denied_ = OkStatus();
  sqlite3_stmt* raw = nullptr;
  const int rc =
      sqlite3_prepare_v3(scratch_, sql.data(), static_cast<int>(sql.size()), 0, &raw, nullptr);
  const StatementPtr stmt(raw);
  if (!denied_.ok()) return std::exchange(denied_, OkStatus());
  if (rc == SQLITE_OK) return OkStatus();
  const char* const message = sqlite3_errmsg(scratch_);
  return rc == SQLITE_ERROR && IsSyntaxError(message) ? InvalidArgument(message) : OkStatus();
}

}  // namespace cairn::state_machine
