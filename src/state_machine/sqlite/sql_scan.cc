#include "state_machine/sqlite/sql_scan.h"

#include <strings.h>

#include <algorithm>
#include <cctype>
#include <unordered_set>

#include "state_machine/sqlite/sql_tokens.h"

namespace cairn::state_machine {
namespace {

// Numbers parameters as SQLite does: `?` takes the next number after the highest, a name takes one
// when it first occurs.
class ParameterNumbers {
 public:
  explicit ParameterNumbers(SqlScan* scan) : scan_(scan) {}

  void Add(std::string_view text) {
    if (text == "?") {
      ++scan_->parameters;
    } else if (text[0] == '?') {
      scan_->parameters = std::max(scan_->parameters, NumberOf(text.substr(1)));
    } else if (seen_.insert(text).second) {
      scan_->names.push_back({++scan_->parameters, std::string(text)});
    }
  }

 private:
  // Numbers far beyond SQLite's limit, which its parser enforces, are treated alike.
  static size_t NumberOf(std::string_view digits) {
    size_t number = 0;
    for (const char digit : digits) {
      number = std::min<size_t>(number * 10 + static_cast<size_t>(digit - '0'), 1 << 30);
    }
    return number;
  }

  SqlScan* const scan_;
  std::unordered_set<std::string_view> seen_;
};

SqlKind KindOfFirst(const Token& token) {
  if (IsAnyWord(token, "SELECT", "VALUES", "EXPLAIN")) return SqlKind::kRead;
  if (IsAnyWord(token, "INSERT", "REPLACE", "UPDATE", "DELETE", "CREATE", "DROP", "ALTER",
                "REINDEX", "ANALYZE")) {
    return SqlKind::kWrite;
  }
  if (IsAnyWord(token, "BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE")) {
    return SqlKind::kTransaction;
  }
  if (IsWord(token, "PRAGMA")) return SqlKind::kPragma;
  if (IsAnyWord(token, "ATTACH", "DETACH")) return SqlKind::kAttach;
  if (IsWord(token, "VACUUM")) return SqlKind::kVacuum;
  return SqlKind::kUnknown;
}

// Takes the tokens of one statement, and finds where the statement ends.
class StatementScanner {
 public:
  // False if `token`, a semicolon, ends the statement.
  bool Add(const Token& token, SqlScan* scan) {
    ++count_;
    if (count_ == 1) {
      scan->kind = KindOfFirst(token);
      creates_ = IsWord(token, "CREATE");
      with_ = IsWord(token, "WITH");
    } else if (creates_ && count_ == 2 && IsAnyWord(token, "TEMP", "TEMPORARY")) {
      scan->kind = SqlKind::kTemporary;
      ++modifiers_;
    } else if (creates_ && count_ == 2 + modifiers_) {
      trigger_ = IsWord(token, "TRIGGER");
    } else if (with_ && depth_ == 0 && previous_.type == TokenType::kClose) {
      // The statement proper follows the parenthesis that closes the last common table expression.
      // There such a word cannot be a name.
      const SqlKind kind = KindOfFirst(token);
      if (kind != SqlKind::kUnknown) {
        scan->kind = kind;
        with_ = false;
      }
    }
    if (token.type == TokenType::kOpen) ++depth_;
    if (token.type == TokenType::kClose) --depth_;
    const bool ends = token.type == TokenType::kSemicolon && (!trigger_ || body_ended_);
    // A trigger's body holds semicolons. Nothing follows the one before END.
    if (trigger_ && previous_.type == TokenType::kSemicolon && IsWord(token, "END")) {
      body_ended_ = true;
    }
    previous_ = token;
    return !ends;
  }

 private:
  int count_ = 0;
  int modifiers_ = 0;
  int depth_ = 0;
  bool creates_ = false;
  bool with_ = false;
  bool trigger_ = false;
  bool body_ended_ = false;
  Token previous_;
};

// False if it is known without splitting the tokens that no literal is long. In a long literal the
// quote is doubled, or the text between two of its quotes is long.
bool MayHaveLongLiteral(std::string_view sql, size_t bytes_max) {
  if (sql.size() <= bytes_max) return false;
  if (sql.find('[') != std::string_view::npos) return true;
  for (const char quote : {'\'', '"', '`'}) {
    size_t next = 0;
    for (size_t at = sql.find(quote); at != std::string_view::npos; at = next) {
      next = sql.find(quote, at + 1);
      const size_t gap = std::min(next, sql.size()) - at;
      if (gap == 1 || gap + 2 > bytes_max)
        return true;  // two more: the last quote, and the x of x''
    }
  }
  return false;
}

// Goes through the rows of constants behind VALUES. A row that holds anything else ends the walk.
class ConstantRows {
 public:
  explicit ConstantRows(std::string_view rows) : at_(rows.data()), end_(at_ + rows.size()) {}

  // True if there is nothing but rows, blanks and semicolons.
  bool Are() {
    do {
      if (!TakeRow()) return false;
    } while (Take(','));
    while (Take(';')) {
    }
    SkipBlank();
    return at_ == end_;
  }

 private:
  bool TakeRow() {
    if (!Take('(')) return false;
    do {
      if (!TakeConstant()) return false;
    } while (Take(','));
    return Take(')');
  }

  bool TakeConstant() {
    SkipBlank();
    if (at_ == end_) return false;
    if (*at_ == '\'') return TakeString();
    if (*at_ >= '0' && *at_ <= '9') return TakeNumber();
    constexpr std::string_view kNull = "null";
    if (static_cast<size_t>(end_ - at_) <= kNull.size()) return false;
    if (strncasecmp(at_, kNull.data(), kNull.size()) != 0) return false;
    at_ += kNull.size();
    return true;  // a comma or a parenthesis must follow
  }

  // A doubled quote stands for one.
  bool TakeString() {
    for (++at_; at_ != end_; ++at_) {
      if (*at_ != '\'') continue;
      if (++at_ == end_ || *at_ != '\'') return true;
    }
    return false;
  }

  bool TakeNumber() {
    while (at_ != end_ && ((*at_ >= '0' && *at_ <= '9') || *at_ == '.')) ++at_;
    return true;
  }

  bool Take(char c) {
    SkipBlank();
    if (at_ == end_ || *at_ != c) return false;
    ++at_;
    return true;
  }

  void SkipBlank() {
    while (at_ != end_ && (*at_ == ' ' || (*at_ >= '\t' && *at_ <= '\r' && *at_ != '\v'))) ++at_;
  }

  const char* at_;
  const char* const end_;
};

// True if changes() or total_changes() is called at `i`. The name may be quoted. A table may also
// be called changes.
bool IsChangesCall(const std::vector<Token>& tokens, size_t i) {
  if (i + 1 >= tokens.size() || tokens[i + 1].type != TokenType::kOpen) return false;
  if (i > 0 && (IsAnyWord(tokens[i - 1], "TABLE", "EXISTS", "INTO", "REFERENCES") ||
                tokens[i - 1].text == ".")) {
    return false;
  }
  Token name = tokens[i];
  if (name.type == TokenType::kQuoted && name.text.size() >= 2) {
    name = {TokenType::kWord, name.text.substr(1, name.text.size() - 2)};
  }
  return IsAnyWord(name, "changes", "total_changes");
}

bool IsCreateTrigger(const std::vector<Token>& tokens) {
  const size_t modifiers = tokens.size() > 1 && IsAnyWord(tokens[1], "TEMP", "TEMPORARY") ? 1 : 0;
  return tokens.size() > 1 + modifiers && IsWord(tokens[0], "CREATE") &&
         IsWord(tokens[1 + modifiers], "TRIGGER");
}

// True if RAISE(type, message) of a trigger stands at `i`. A table may be called raise, and have a
// column called rollback: INSERT INTO raise(rollback, x), WITH raise(rollback, x) AS (...).
bool IsRaiseCall(const std::vector<Token>& tokens, size_t i) {
  if (i == 0 || i + 6 > tokens.size()) return false;
  if (!IsWord(tokens[i], "RAISE") || tokens[i + 1].type != TokenType::kOpen) return false;
  if (IsAnyWord(tokens[i - 1], "INTO", "FROM", "JOIN") || tokens[i - 1].text == ".") return false;
  if (tokens[i + 3].text != "," || tokens[i + 5].type != TokenType::kClose) return false;
  const size_t end = i + 6;
  return end + 1 >= tokens.size() || !IsWord(tokens[end], "AS") ||
         !(tokens[end + 1].type == TokenType::kOpen ||
           IsAnyWord(tokens[end + 1], "NOT", "MATERIALIZED"));
}

}  // namespace

bool HoldsWord(std::string_view sql, std::string_view lower_word) {
  const size_t last = lower_word.size() - 1;
  const char lower = lower_word[last];
  const char before = lower_word[last - 1];
  for (const char c : {lower, static_cast<char>(lower - 'a' + 'A')}) {
    for (size_t at = sql.find(c, last); at != std::string_view::npos; at = sql.find(c, at + 1)) {
      if ((sql[at - 1] | 0x20) != before) continue;  // nearly always
      if (strncasecmp(sql.data() + at - last, lower_word.data(), last) == 0) return true;
    }
  }
  return false;
}

SqlScan ScanSql(std::string_view sql) {
  SqlScan scan;
  Tokenizer tokens(sql);
  ParameterNumbers parameters(&scan);
  StatementScanner statement;
  bool started = false;
  bool ended = false;
  for (Token token = tokens.Next(); token.type != TokenType::kEnd; token = tokens.Next()) {
    if (token.type == TokenType::kSemicolon && (!started || ended)) continue;
    if (ended) {
      scan.several = true;
      break;
    }
    started = true;
    ended = !statement.Add(token, &scan);
    if (token.type == TokenType::kParameter) parameters.Add(token.text);
  }
  return scan;
}

bool HasLongLiteral(std::string_view sql, size_t bytes_max) {
  if (!MayHaveLongLiteral(sql, bytes_max)) return false;
  Tokenizer tokens(sql);
  for (Token token = tokens.Next(); token.type != TokenType::kEnd; token = tokens.Next()) {
    if (token.type == TokenType::kQuoted && token.text.size() > bytes_max) return true;
  }
  return false;
}

size_t LongestBlobLiteral(std::string_view sql) {
  constexpr size_t kAround = sizeof "x''" - 1;
  size_t longest = 0;
  if (sql.find("x'") == std::string_view::npos && sql.find("X'") == std::string_view::npos)
    return 0;
  Tokenizer tokens(sql);
  for (Token token = tokens.Next(); token.type != TokenType::kEnd; token = tokens.Next()) {
    const bool is_blob = token.type == TokenType::kQuoted && (token.text.front() | 0x20) == 'x';
    if (is_blob && token.text.size() > kAround) {
      longest = std::max(longest, (token.text.size() - kAround) / 2);
    }
  }
  return longest;
}

size_t BytesBesideLongLiterals(std::string_view sql) {
  constexpr size_t kLongBytes = 1 << 10;
  size_t bytes = sql.size();
  Tokenizer tokens(sql);
  for (Token token = tokens.Next(); token.type != TokenType::kEnd; token = tokens.Next()) {
    // The other quotes are those of names.
    const bool is_literal = token.type == TokenType::kQuoted && token.text.back() == '\'';
    if (is_literal && token.text.size() > kLongBytes) bytes -= token.text.size();
  }
  return bytes;
}

bool WritesRows(std::string_view sql) {
  return IsAnyWord(Tokenizer(sql).Next(), "INSERT", "REPLACE", "UPDATE");
}

std::string_view WithoutConstantRows(std::string_view sql) {
  // So many bytes are split into tokens as fast.
  constexpr size_t kShortBytes = 256;
  if (sql.size() < kShortBytes) return sql;
  Tokenizer tokens(sql);
  Token token = tokens.Next();
  if (!IsAnyWord(token, "INSERT", "REPLACE")) return sql;
  int depth = 0;
  for (;; token = tokens.Next()) {
    if (token.type == TokenType::kEnd || token.type == TokenType::kSemicolon) return sql;
    if (token.type == TokenType::kOpen) ++depth;
    if (token.type == TokenType::kClose) --depth;
    if (depth > 0 || !IsWord(token, "VALUES")) continue;
    const auto head = static_cast<size_t>(token.text.data() + token.text.size() - sql.data());
    return ConstantRows(sql.substr(head)).Are() ? sql.substr(0, head) : sql;
  }
}

bool CallsChanges(std::string_view sql) {
  if (!HoldsWord(sql, "changes")) return false;
  const std::vector<Token> tokens = TokensOf(sql);
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (IsChangesCall(tokens, i)) return true;
  }
  return false;
}

// The statements of the body follow the last BEGIN before the first semicolon, because the trigger
// may also be called begin. A statement that does not begin with one of the three words sets
// nothing.
bool TriggerCallsChangesFirst(std::string_view sql) {
  if (!HoldsWord(sql, "changes")) return false;
  const std::vector<Token> tokens = TokensOf(sql);
  size_t start = tokens.size();
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (IsChangesCall(tokens, i)) return true;
    if (IsWord(tokens[i], "BEGIN")) start = i + 1;
    if (tokens[i].type != TokenType::kSemicolon) continue;
    if (start < i && IsAnyWord(tokens[start], "INSERT", "UPDATE", "DELETE")) return false;
    start = i + 1;
  }
  return false;
}

std::string WithoutRollback(std::string_view sql) {
  if (!HoldsWord(sql, "rollback")) return std::string(sql);
  const std::vector<Token> tokens = TokensOf(sql);
  const bool is_trigger = IsCreateTrigger(tokens);
  std::string out;
  size_t copied = 0;
  for (size_t i = 2; i < tokens.size(); ++i) {
    if (!IsWord(tokens[i], "ROLLBACK")) continue;
    const Token& first = tokens[i - 2];
    const Token& second = tokens[i - 1];
    // INSERT, UPDATE and ON are never names, so these words can mean nothing else.
    const bool in_statement = IsAnyWord(first, "INSERT", "UPDATE") && IsWord(second, "OR");
    const bool in_constraint = IsWord(first, "ON") && IsWord(second, "CONFLICT");
    const bool in_raise = is_trigger && IsRaiseCall(tokens, i - 2);
    if (!in_statement && !in_constraint && !in_raise) continue;
    const auto at = static_cast<size_t>(tokens[i].text.data() - sql.data());
    out.append(sql.substr(copied, at - copied)).append("ABORT");
    copied = at + tokens[i].text.size();
  }
  return out.append(sql.substr(copied));
}

}  // namespace cairn::state_machine
