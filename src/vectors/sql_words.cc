#include "vectors/sql_words.h"

namespace cairn::vectors {
namespace {

bool IsSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool IsWordPart(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '$' || byte >= 0x80;
}
char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// The place behind a comment that begins at `at`; `at` if none does.
size_t BehindComment(std::string_view sql, size_t at) {
  const std::string_view begin = sql.substr(at, 2);
  const std::string_view closing = begin == "--" ? "\n" : begin == "/*" ? "*/" : "";
  if (closing.empty()) return at;
  const size_t end = sql.find(closing, at + 2);
  return end == std::string_view::npos ? sql.size() : end + closing.size();
}

SqlWord TakeQuoted(std::string_view sql, size_t at, char quote) {
  SqlWord word;
  word.type = quote == '\'' ? SqlWord::Type::kText : SqlWord::Type::kName;
  word.quoted = true;
  word.at = at;
  size_t i = at + 1;
  for (; i < sql.size(); ++i) {
    if (sql[i] == quote) {
      if (quote == ']' || sql.substr(i + 1, 1) != std::string_view(&quote, 1)) break;
      ++i;
    }
    word.value += sql[i];
  }
  word.end = i < sql.size() ? i + 1 : i;
  return word;
}

}  // namespace

bool SqlWord::Is(std::string_view lower) const {
  return !quoted && type != Type::kText && LowerCase(value) == lower;
}

bool TakeWord(std::string_view sql, size_t* at, SqlWord* word) {
  while (*at < sql.size()) {
    const char c = sql[*at];
    if (IsSpace(c)) {
      ++*at;
      continue;
    }
    if (const size_t behind = BehindComment(sql, *at); behind != *at) {
      *at = behind;
      continue;
    }
    *word = SqlWord();
    if (c == '\'' || c == '"' || c == '`' || c == '[') {
      *word = TakeQuoted(sql, *at, c == '[' ? ']' : c);
    } else {
      size_t end = *at + 1;
      if (IsWordPart(c)) {
        word->type = SqlWord::Type::kName;
        while (end < sql.size() && IsWordPart(sql[end])) ++end;
      }
      word->value = sql.substr(*at, end - *at);
      word->at = *at;
      word->end = end;
    }
    *at = word->end;
    return true;
  }
  return false;
}

std::vector<SqlWord> SplitSql(std::string_view sql, size_t words_max) {
  std::vector<SqlWord> words;
  size_t at = 0;
  SqlWord word;
  while (words.size() < words_max && TakeWord(sql, &at, &word)) words.push_back(std::move(word));
  return words;
}

std::string LowerCase(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = Lower(c);
  return lower;
}

}  // namespace cairn::vectors
