// Splits the text of a statement into the tokens that a CREATE INDEX consists of.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace cairn::vectors {

struct SqlWord {
  enum class Type : unsigned char { kName, kText, kOther };
  Type type = Type::kOther;
  std::string value;  // without quotes; of kOther one character
  size_t at = 0;      // in the text
  size_t end = 0;
  bool quoted = false;

  // True if the token is the word (in lower case) or the character, in any case, without quotes.
  bool Is(std::string_view lower) const;
  // SQLite takes a text for a name where only a name can stand.
  bool IsName() const { return type != Type::kOther; }
};

// Takes the next token at or behind the place `at`, and moves `at` behind it. Leaves comments out.
// False: there is none.
bool TakeWord(std::string_view sql, size_t* at, SqlWord* word);
// At most `words_max` tokens.
std::vector<SqlWord> SplitSql(std::string_view sql, size_t words_max);

std::string LowerCase(std::string_view text);

}  // namespace cairn::vectors
