#include "state_machine/sqlite/sql_tokens.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "state_machine/sqlite/schema_catalog.h"

namespace cairn::state_machine {
namespace {

// The class of a byte, whatever the locale.
enum ByteClass : uint8_t { kSpace = 1, kDigit = 2, kName = 4, kMayBeBlank = 8 };

constexpr std::array<uint8_t, 256> ClassesOfBytes() {
  std::array<uint8_t, 256> classes{};
  for (const unsigned char c : {' ', '\t', '\n', '\f', '\r'}) classes[c] = kSpace | kMayBeBlank;
  for (unsigned char c = '0'; c <= '9'; ++c) classes[c] = kDigit | kName;
  for (unsigned char c = 'a'; c <= 'z'; ++c) classes[c] = kName;
  for (unsigned char c = 'A'; c <= 'Z'; ++c) classes[c] = kName;
  classes['_'] = kName;
  classes['$'] = kName;
  // Every byte past ASCII is part of a name, as in SQLite.
  for (size_t c = 0x80; c < classes.size(); ++c) classes[c] = kName;
  classes['-'] = kMayBeBlank;  // a comment
  classes['/'] = kMayBeBlank;
  classes[0xef] |= kMayBeBlank;  // a byte order mark
  return classes;
}

bool Is(char c, ByteClass wanted) {
  static constexpr std::array<uint8_t, 256> kClasses = ClassesOfBytes();
  return (kClasses[static_cast<unsigned char>(c)] & wanted) != 0;
}
bool IsSpace(char c) { return Is(c, kSpace); }
bool IsDigit(char c) { return Is(c, kDigit); }
bool IsNameByte(char c) { return Is(c, kName); }

}  // namespace

Token Tokenizer::Next() {
  SkipBlank();
  if (at_ >= sql_.size()) return {};
  const size_t start = at_;
  const TokenType type = Take();
  return {type, sql_.substr(start, at_ - start)};
}

void Tokenizer::SkipBlank() {
  while (at_ < sql_.size() && Is(sql_[at_], kMayBeBlank)) {
    if (IsSpace(sql_[at_])) {
      ++at_;
    } else if (sql_.compare(at_, 3, "\xef\xbb\xbf") == 0) {  // a byte order mark
      at_ += 3;
    } else if (sql_.compare(at_, 2, "--") == 0) {
      at_ = std::min(sql_.find('\n', at_), sql_.size());
    } else if (sql_.compare(at_, 2, "/*") == 0 && at_ + 2 < sql_.size()) {
      // An unclosed comment reaches to the end. "/*/" does not close itself.
      const size_t close = sql_.find("*/", at_ + 2);
      at_ = close == std::string_view::npos ? sql_.size() : close + 2;
    } else {
      return;
    }
  }
}

TokenType Tokenizer::Take() {
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
      while (IsDigit(Peek(0))) ++at_;
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
  if (IsDigit(c) || (c == '.' && IsDigit(Peek(1)))) {
    TakeNumber();
    return TokenType::kOther;
  }
  if (!IsNameByte(c)) {
    ++at_;
    return TokenType::kOther;
  }
  while (at_ < sql_.size() && IsNameByte(sql_[at_])) ++at_;
  return TokenType::kWord;
}

size_t Tokenizer::AfterFirst(char c) const {
  const size_t found = sql_.find(c, at_ + 1);
  return found == std::string_view::npos ? sql_.size() : found + 1;
}

// A doubled quote stands for one.
void Tokenizer::TakeQuoted(char quote) {
  for (++at_; at_ < sql_.size(); ++at_) {
    if (sql_[at_] != quote) continue;
    if (Peek(1) != quote) break;
    ++at_;
  }
  if (at_ < sql_.size()) ++at_;
}

// Includes the sign of an exponent. Letters are part of the token, so 1abc is one token, as in
// SQLite.
void Tokenizer::TakeNumber() {
  while (at_ < sql_.size()) {
    const char c = sql_[at_];
    const bool sign = (c == '+' || c == '-') && (sql_[at_ - 1] == 'e' || sql_[at_ - 1] == 'E') &&
                      IsDigit(Peek(1)) && !hex_;
    if (!IsNameByte(c) && c != '.' && !sign) break;
    if ((c == 'x' || c == 'X') && sql_[at_ - 1] == '0') hex_ = true;
    ++at_;
  }
  hex_ = false;
}

// For Tcl, a name may contain "::", and end with anything in parentheses.
TokenType Tokenizer::TakeNamedParameter() {
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

std::vector<Token> TokensOf(std::string_view sql) {
  Tokenizer tokenizer(sql);
  std::vector<Token> tokens;
  for (Token token = tokenizer.Next(); token.type != TokenType::kEnd; token = tokenizer.Next()) {
    tokens.push_back(token);
  }
  return tokens;
}

// The name as SQLite compares it: a doubled quote stands for one.
std::string NameOf(const Token& token) {
  const std::string_view text = token.text;
  if (token.type != TokenType::kQuoted || text.size() < 2) return LowerCase(text);
  const char quote = text.front() == '[' ? ']' : text.front();
  std::string name;
  for (size_t i = 1; i + 1 < text.size(); ++i) {
    name += text[i];
    if (quote != ']' && text[i] == quote) ++i;
  }
  return LowerCase(name);
}

size_t EndOfTableHead(const std::vector<Token>& tokens, size_t i) {
  const bool may_begin =
      i > 0 && IsName(tokens[i]) &&
      (IsAnyWord(tokens[i - 1], "WITH", "RECURSIVE") || tokens[i - 1].text == ",");
  if (!may_begin) return 0;
  const auto at = [&](size_t k) { return k < tokens.size() ? tokens[k] : Token(); };
  size_t k = i + 1;
  if (at(k).type == TokenType::kOpen) {
    ++k;
    while (IsName(at(k)) || at(k).text == ",") ++k;
    if (at(k).type != TokenType::kClose) return 0;
    ++k;
  }
  if (!IsWord(at(k), "AS")) return 0;
  ++k;
  if (IsWord(at(k), "NOT")) ++k;
  if (IsWord(at(k), "MATERIALIZED")) ++k;
  return at(k).type == TokenType::kOpen ? k : 0;
}

}  // namespace cairn::state_machine
