// Splits SQL text into tokens, exactly as SQLite does.
#pragma once

#include <strings.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::state_machine {

enum class TokenType { kEnd, kWord, kQuoted, kParameter, kSemicolon, kOpen, kClose, kOther };

struct Token {
  TokenType type = TokenType::kEnd;
  std::string_view text;
};

// True if the token is the word, in any case, without quotes.
inline bool IsWord(const Token& token, std::string_view word) {
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

  // Returns a token of type kEnd after the last token.
  Token Next();

 private:
  char Peek(size_t ahead) const { return at_ + ahead < sql_.size() ? sql_[at_ + ahead] : '\0'; }
  void SkipBlank();
  TokenType Take();
  size_t AfterFirst(char c) const;
  void TakeQuoted(char quote);
  void TakeNumber();
  TokenType TakeNamedParameter();

  const std::string_view sql_;
  size_t at_ = 0;
  bool hex_ = false;
};

std::vector<Token> TokensOf(std::string_view sql);

// True if the token may be a name. NameOf gives that name in lower case.
inline bool IsName(const Token& token) {
  return token.type == TokenType::kWord || token.type == TokenType::kQuoted;
}
std::string NameOf(const Token& token);

// If the definition of a common table expression, "name [(columns)] AS [NOT] [MATERIALIZED] (",
// begins at `i`: the place of its last token. Otherwise 0.
size_t EndOfTableHead(const std::vector<Token>& tokens, size_t i);

}  // namespace cairn::state_machine
