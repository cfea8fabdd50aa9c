#include "state_machine/sqlite/sql_scan.h"

#include <strings.h>

#include <algorithm>
#include <cctype>
#include <unordered_set>

namespace cairn::state_machine {
namespace {

enum class TokenType { kEnd, kWord, kQuoted, kParameter, kSemicolon, kOpen, kClose, kOther };

struct Token {
  TokenType type = TokenType::kEnd;
  std::string_view text;
};

bool IsSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r' && c != '\v'); }
// Every byte past ASCII is part of a name, as in SQLite.
bool IsNameByte(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return std::isalnum(byte) != 0 || c == '_' || c == '$' || byte >= 0x80;
}
bool IsWord(const Token& token, std::string_view word) {
  return token.type == TokenType::kWord && token.text.size() == word.size() &&
         strncasecmp(token.text.data(), word.data(), word.size()) == 0;
}
template <class... Words>
bool IsAnyWord(const Token& token, Words... words) {
  return (IsWord(token, words) || ...);
}

class Tokenizer {
 public:
  explicit Tokenizer(std::string_view sql) : sql_(sql) {}

  Token Next() {
    SkipBlank();
    if (at_ >= sql_.size()) return {};
    const size_t start = at_;
    const TokenType type = Take();
    return {type, sql_.substr(start, at_ - start)};
  }

 private:
  char Peek(size_t ahead) const { return at_ + ahead < sql_.size() ? sql_[at_ + ahead] : '\0'; }

  void SkipBlank() {
    while (at_ < sql_.size()) {
      if (IsSpace(sql_[at_])) {
        ++at_;
      } else if (sql_.compare(at_, 3, "\xef\xbb\xbf") == 0) {  // a byte order mark
        at_ += 3;
      } else if (sql_.compare(at_, 2, "--") == 0) {
        at_ = std::min(sql_.find('\n', at_), sql_.size());
      } else if (sql_.compare(at_, 2, "/*") == 0 && at_ + 2 < sql_.size()) {
        // One that is not closed reaches to the end; "/*/" does not close itself.
        const size_t close = sql_.find("*/", at_ + 2);
        at_ = close == std::string_view::npos ? sql_.size() : close + 2;
      } else {
        return;
      }
    }
  }

  TokenType Take() {
    const char c = sql_[at_];
    switch (c) {
      case ';': ++at_; return TokenType::kSemicolon;
      case '(': ++at_; return TokenType::kOpen;
      case ')': ++at_; return TokenType::kClose;
      case '\'':
      case '"':
      case '`': TakeQuoted(c); return TokenType::kQuoted;
      case '[': at_ = AfterFirst(']'); return TokenType::kQuoted;
      case '?':
        ++at_;
        while (std::isdigit(static_cast<unsigned char>(Peek(0))) != 0) ++at_;
        return TokenType::kParameter;
      case ':':
      case '@':
      case '#':
      case '$': return TakeNamedParameter();
      default: break;
    }
    if ((c == 'x' || c == 'X') && Peek(1) == '\'') {
      ++at_;
      TakeQuoted('\'');
      return TokenType::kQuoted;
    }
    const bool digit = std::isdigit(static_cast<unsigned char>(c)) != 0;
    if (digit || (c == '.' && std::isdigit(static_cast<unsigned char>(Peek(1))) != 0)) {
      TakeNumber();
      return TokenType::kOther;
    }
    if (!IsNameByte(c)) {
      ++at_;
      return TokenType::kOther;
    }
    while (IsNameByte(Peek(0)) && at_ < sql_.size()) ++at_;
    return TokenType::kWord;
  }

  size_t AfterFirst(char c) const {
    const size_t found = sql_.find(c, at_ + 1);
    return found == std::string_view::npos ? sql_.size() : found + 1;
  }

  // A doubled quote stands for one.
  void TakeQuoted(char quote) {
    for (++at_; at_ < sql_.size(); ++at_) {
      if (sql_[at_] != quote) continue;
      if (Peek(1) != quote) break;
      ++at_;
    }
    if (at_ < sql_.size()) ++at_;
  }

  // With an exponent's sign; letters run on, so that 1abc is one token, as in SQLite.
  void TakeNumber() {
    while (at_ < sql_.size()) {
      const char c = sql_[at_];
      const bool sign = (c == '+' || c == '-') && (sql_[at_ - 1] == 'e' || sql_[at_ - 1] == 'E') &&
                        std::isdigit(static_cast<unsigned char>(Peek(1))) != 0 && !hex_;
      if (!IsNameByte(c) && c != '.' && !sign) break;
      if ((c == 'x' || c == 'X') && sql_[at_ - 1] == '0') hex_ = true;
      ++at_;
    }
    hex_ = false;
  }

  // A name may hold "::", and end with anything in parentheses, for Tcl's sake.
  TokenType TakeNamedParameter() {
    ++at_;
    size_t name_bytes = 0;
    while (at_ < sql_.size()) {
      if (IsNameByte(sql_[at_])) {
        ++name_bytes;
        ++at_;
      } else if (sql_[at_] == '(' && name_bytes > 0) {
        do {
          ++at_;
        } while (at_ < sql_.size() && !IsSpace(sql_[at_]) && sql_[at_] != ')');
        if (Peek(0) == ')') ++at_;
        break;
      } else if (sql_[at_] == ':' && Peek(1) == ':') {
        at_ += 2;
      } else {
        break;
      }
    }
    return name_bytes > 0 ? TokenType::kParameter : TokenType::kOther;
  }

  const std::string_view sql_;
  size_t at_ = 0;
  bool hex_ = false;
};

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
  // Far beyond SQLite's limit, which its parser enforces, all numbers are alike.
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

// Sees the tokens of one statement, and finds where it ends.
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
      // The statement proper follows the parenthesis that closes the last common table expression;
      // there, such a word cannot be a name.
      const SqlKind kind = KindOfFirst(token);
      if (kind != SqlKind::kUnknown) {
        scan->kind = kind;
        with_ = false;
      }
    }
    if (token.type == TokenType::kOpen) ++depth_;
    if (token.type == TokenType::kClose) --depth_;
    const bool ends = token.type == TokenType::kSemicolon && (!trigger_ || body_ended_);
    // A trigger's body holds semicolons; the one before END is followed by nothing else.
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

// False if the tokens need not be cut to know that no literal is long. A long literal holds its
// quote doubled, or the text between two of its quotes is long.
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

// Whether "rollback" stands in the text, in any case and place. A search for its last letter is
// far cheaper than to cut the tokens of an INSERT of a thousand rows.
bool HoldsRollback(std::string_view sql) {
  constexpr std::string_view kBeforeLast = "rollbac";
  for (const char last : {'k', 'K'}) {
    for (size_t at = sql.find(last); at != std::string_view::npos; at = sql.find(last, at + 1)) {
      if (at >= kBeforeLast.size() && strncasecmp(sql.data() + at - kBeforeLast.size(),
                                                  kBeforeLast.data(), kBeforeLast.size()) == 0) {
        return true;
      }
    }
  }
  return false;
}

}  // namespace

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

std::string WithoutRollback(std::string_view sql) {
  if (!HoldsRollback(sql)) return std::string(sql);
  std::string out;
  Tokenizer tokens(sql);
  Token before[2];  // the last but one, and the last
  size_t copied = 0;
  for (Token token = tokens.Next(); token.type != TokenType::kEnd; token = tokens.Next()) {
    // INSERT, UPDATE and ON are never names, so none of these can mean anything else.
    const bool in_statement = IsAnyWord(before[0], "INSERT", "UPDATE") && IsWord(before[1], "OR");
    const bool in_constraint = IsWord(before[0], "ON") && IsWord(before[1], "CONFLICT");
    const bool in_raise = IsWord(before[0], "RAISE") && before[1].type == TokenType::kOpen;
    if (IsWord(token, "ROLLBACK") && (in_statement || in_constraint || in_raise)) {
      const auto at = static_cast<size_t>(token.text.data() - sql.data());
      out.append(sql.substr(copied, at - copied)).append("ABORT");
      copied = at + token.text.size();
    }
    before[0] = before[1];
    before[1] = token;
  }
  return out.append(sql.substr(copied));
}

}  // namespace cairn::state_machine
