#include "tools/sql_text.h"

#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>

namespace cairn::tools {
namespace {

bool IsSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool IsWordChar(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '$' ||
         static_cast<unsigned char>(c) >= 0x80;
}

enum class TokenKind { kEnd, kSpace, kWord, kQuoted, kPunctuation, kUnfinished };
struct Token {
  TokenKind kind = TokenKind::kEnd;
  std::string_view text;
};

// A quoted token, from the start of `sql` to its closing character. A doubled character stands for
// itself.
Token Quoted(std::string_view sql, char close) {
  size_t at = 1;
  while (true) {
    at = sql.find(close, at);
    if (at == std::string_view::npos) return {TokenKind::kUnfinished, sql};
    const bool doubled = close != ']' && at + 1 < sql.size() && sql[at + 1] == close;
    if (!doubled) return {TokenKind::kQuoted, sql.substr(0, at + 1)};
    at += 2;
  }
}

// Some editors write this at the start of a file. SQLite takes it for white space.
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

// The token at the start of `sql`; comments count as space.
Token FirstToken(std::string_view sql) {
  if (sql.empty()) return {};
  const char c = sql[0];
  if (c == '\'' || c == '"' || c == '`') return Quoted(sql, c);
  if (c == '[') return Quoted(sql, ']');
  if (sql.starts_with("--")) {
    const size_t end = sql.find('\n');
    if (end == std::string_view::npos) return {TokenKind::kSpace, sql};
    return {TokenKind::kSpace, sql.substr(0, end + 1)};
  }
  if (sql.starts_with("/*")) {
    const size_t end = sql.find("*/", 2);
    if (end == std::string_view::npos) return {TokenKind::kUnfinished, sql};
    return {TokenKind::kSpace, sql.substr(0, end + 2)};
  }
  if (sql.starts_with(kByteOrderMark)) {
    return {TokenKind::kSpace, sql.substr(0, kByteOrderMark.size())};
  }
  size_t length = 1;
  if (IsSpace(c)) {
    while (length < sql.size() && IsSpace(sql[length])) ++length;
    return {TokenKind::kSpace, sql.substr(0, length)};
  }
  if (!IsWordChar(c)) return {TokenKind::kPunctuation, sql.substr(0, 1)};
  while (length < sql.size() && IsWordChar(sql[length])) ++length;
  return {TokenKind::kWord, sql.substr(0, length)};
}

// Skips space and comments.
Token NextToken(std::string_view* sql) {
  while (true) {
    const Token token = FirstToken(*sql);
    sql->remove_prefix(token.text.size());
    if (token.kind != TokenKind::kSpace) return token;
  }
}

bool EqualsIgnoringCase(std::string_view a, std::string_view upper) {
  return std::equal(a.begin(), a.end(), upper.begin(), upper.end(), [](char x, char y) {
    return std::toupper(static_cast<unsigned char>(x)) == y;
  });
}

std::string_view TrimmedFront(std::string_view sql) {
  while (true) {
    const Token token = FirstToken(sql);
    if (token.kind != TokenKind::kSpace) return sql;
    sql.remove_prefix(token.text.size());
  }
}

size_t LinesIn(std::string_view text) {
  return static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
}

// The statement without the space at both ends and the comments in front. `line` is the line of the
// first character.
StatementSplitter::Statement Trimmed(std::string_view text, size_t line) {
  std::string_view sql = TrimmedFront(text);
  line += LinesIn(text.substr(0, text.size() - sql.size()));
  while (!sql.empty() && IsSpace(sql.back())) sql.remove_suffix(1);
  return {std::string(sql), line};
}

// Whether the statement proper, after the common table expressions, reads.
bool WithReads(std::string_view sql) {
  static constexpr std::array<std::string_view, 6> kVerbs = {"SELECT",  "VALUES", "INSERT",
                                                             "REPLACE", "UPDATE", "DELETE"};
  int depth = 0;
  while (true) {
    const Token token = NextToken(&sql);
    if (token.kind == TokenKind::kEnd || token.kind == TokenKind::kUnfinished) return true;
    if (token.text == "(") ++depth;
    if (token.text == ")") --depth;
    if (depth != 0 || token.kind != TokenKind::kWord) continue;
    for (std::string_view verb : kVerbs) {
      if (EqualsIgnoringCase(token.text, verb)) return verb == "SELECT" || verb == "VALUES";
    }
  }
}

bool PragmaSets(std::string_view sql) {
  std::string_view name;
  for (Token token = NextToken(&sql); token.kind != TokenKind::kEnd; token = NextToken(&sql)) {
    if (token.text == "=" || token.text == "(") {
      return EqualsIgnoringCase(name, "USER_VERSION") || EqualsIgnoringCase(name, "APPLICATION_ID");
    }
    if (token.kind == TokenKind::kWord) name = token.text;
  }
  return false;
}

}  // namespace

void StatementSplitter::Append(std::string_view text) {
  pending_ += text;
  may_have_ended_ = may_have_ended_ || text.find(';') != std::string_view::npos;
}

std::optional<StatementSplitter::Statement> StatementSplitter::Next() {
  size_t scanned = 0;
  while (may_have_ended_ && scanned < pending_.size()) {
    const Token token = FirstToken(std::string_view(pending_).substr(scanned));
    if (token.kind == TokenKind::kUnfinished) break;
    scanned += token.text.size();
    if (token.text != ";") continue;
    const std::string whole = pending_.substr(0, scanned);
    // sqlite3_complete knows the bodies of triggers.
    if (sqlite3_complete(whole.c_str()) == 0) continue;
    pending_.erase(0, scanned);
    scanned = 0;
    Statement statement = Trimmed(std::string_view(whole).substr(0, whole.size() - 1), line_);
    line_ += LinesIn(whole);
    if (!statement.sql.empty()) return statement;
  }
  may_have_ended_ = false;
  return std::nullopt;
}

bool StatementSplitter::HasRest() const { return !TrimmedFront(pending_).empty(); }

StatementSplitter::Statement StatementSplitter::TakeRest() {
  Statement rest = Trimmed(pending_, line_);
  line_ += LinesIn(pending_);
  pending_.clear();
  may_have_ended_ = false;
  return rest;
}

std::string_view TakeToken(std::string_view* sql) { return NextToken(sql).text; }

std::string UnquotedName(std::string_view token) {
  const char open = token.empty() ? '\0' : token.front();
  const char close = open == '[' ? ']' : open;
  if (open != '"' && open != '`' && open != '\'' && open != '[') return std::string(token);
  std::string name;
  for (size_t i = 1; i + 1 < token.size(); ++i) {
    name += token[i];
    if (token[i] == close) ++i;  // it stands there twice
  }
  return name;
}

std::string UpperCase(std::string_view word) {
  std::string out(word);
  for (char& c : out) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return out;
}

bool IsQuery(std::string_view sql) {
  const std::string_view verb = NextToken(&sql).text;
  if (EqualsIgnoringCase(verb, "WITH")) return WithReads(sql);
  if (EqualsIgnoringCase(verb, "PRAGMA")) return !PragmaSets(sql);
  return EqualsIgnoringCase(verb, "SELECT") || EqualsIgnoringCase(verb, "VALUES") ||
         EqualsIgnoringCase(verb, "EXPLAIN");
}

namespace {

// Takes the first digits off `text`; nothing if it does not begin with a number.
std::optional<std::string_view> TakeNumber(std::string_view* text) {
  *text = TrimmedFront(*text);
  const size_t digits = std::min(text->find_first_not_of("0123456789"), text->size());
  if (digits == 0) return std::nullopt;
  const std::string_view number = text->substr(0, digits);
  text->remove_prefix(digits);
  return number;
}

// The words of `sql` outside parentheses, in capitals. A semicolon is a word, too.
std::vector<std::string> OuterWords(std::string_view sql) {
  std::vector<std::string> words;
  int depth = 0;
  while (true) {
    const Token token = NextToken(&sql);
    if (token.kind == TokenKind::kEnd || token.kind == TokenKind::kUnfinished) return words;
    if (token.text == "(") ++depth;
    if (token.text == ")") --depth;
    if (depth != 0 || (token.kind != TokenKind::kWord && token.text != ";")) continue;
    words.push_back(UpperCase(token.text));
  }
}

}  // namespace

std::vector<std::string> FirstWords(std::string_view sql, size_t count) {
  std::vector<std::string> words;
  while (words.size() < count) {
    const Token token = NextToken(&sql);
    if (token.kind != TokenKind::kWord && token.kind != TokenKind::kQuoted) break;
    const bool quoted = token.kind == TokenKind::kQuoted;
    words.push_back(UpperCase(quoted ? token.text.substr(1, token.text.size() - 2) : token.text));
  }
  return words;
}

std::optional<PragmaSetting> ParsePragmaSetting(std::string_view sql) {
  if (!EqualsIgnoringCase(NextToken(&sql).text, "PRAGMA")) return std::nullopt;
  Token name = NextToken(&sql);
  Token sign = NextToken(&sql);
  if (sign.text == ".") {
    name = NextToken(&sql);
    sign = NextToken(&sql);
  }
  if (name.kind != TokenKind::kWord || (sign.text != "=" && sign.text != "(")) return std::nullopt;
  Token value = NextToken(&sql);
  std::string text = UpperCase(value.text);
  if (value.kind == TokenKind::kQuoted) text = text.substr(1, text.size() - 2);
  return PragmaSetting{UpperCase(name.text), text};
}

std::vector<std::string> ParametersOf(std::string_view sql) {
  std::vector<std::string> found;
  while (!sql.empty()) {
    Token token = FirstToken(sql);
    sql.remove_prefix(token.text.size());
    std::string name;
    if (token.text == ":" || token.text == "@" || token.text == "?") {
      name = token.text;
      const Token next = FirstToken(sql);
      const bool number = token.text == "?";
      const bool belongs = next.kind == TokenKind::kWord &&
                           (!number || (next.text[0] >= '0' && next.text[0] <= '9'));
      if (belongs) {
        name += next.text;
        sql.remove_prefix(next.text.size());
      } else if (!number) {
        continue;
      }
    } else if (token.kind == TokenKind::kWord && token.text[0] == '$') {
      name = token.text;
    }
    if (!name.empty() && std::find(found.begin(), found.end(), name) == found.end()) {
      found.push_back(name);
    }
  }
  return found;
}

bool IsPlainChange(std::string_view sql) {
  const std::vector<std::string> words = FirstWords(sql, 1);
  if (words.empty()) return false;
  const std::string& verb = words[0];
  if (verb != "INSERT" && verb != "REPLACE" && verb != "UPDATE" && verb != "DELETE") return false;
  // In any case, also within a literal: such a statement is then sent alone.
  const std::string text = UpperCase(sql);
  for (const char* word : {"RETURNING", "CHANGES", "LAST_INSERT_ROWID"}) {
    if (text.find(word) != std::string::npos) return false;
  }
  return true;
}

Result<Sliced> ParseSlices(std::string_view text, int64_t rows_default, int64_t rows_max) {
  Sliced sliced;
  sliced.rows = rows_default;
  if (const auto number = TakeNumber(&text)) {
    const auto [end, error] =
        std::from_chars(number->data(), number->data() + number->size(), sliced.rows);
    if (error != std::errc() || sliced.rows < 1 || sliced.rows > rows_max) {
      return InvalidArgument("a slice has from 1 to " + std::to_string(rows_max) + " rows");
    }
  }
  std::string sql = Trimmed(text, 0).sql;
  if (sql.ends_with(';')) sql.pop_back();
  const std::vector<std::string> words = OuterWords(sql);
  const auto has = [&](const char* word) {
    return std::find(words.begin(), words.end(), word) != words.end();
  };
  const bool updates = has("UPDATE") && !has("INSERT");
  if (words.empty() || (!updates && !has("DELETE")) || IsQuery(sql)) {
    return InvalidArgument("usage: .slices [N] DELETE ... or .slices [N] UPDATE ... WHERE ...");
  }
  if (has(";")) return InvalidArgument("one statement at a time is run in slices");
  if (has("LIMIT") || has("RETURNING")) {
    return InvalidArgument(
        "a statement that is run in slices has no LIMIT or RETURNING of its own");
  }
  if (updates && !has("WHERE")) {
    return InvalidArgument(
        "an UPDATE without WHERE would change the same rows for ever; add a WHERE that no longer "
        "finds "
        "a row once it is changed");
  }
  sliced.rows_to_go_on = updates ? sliced.rows : 1;
  // On a line of its own, because the statement may end in a comment.
  sliced.sql = sql + "\nLIMIT " + std::to_string(sliced.rows);
  return sliced;
}

}  // namespace cairn::tools
