// What the shell must know of SQL's surface: where a statement ends, and whether it reads.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace cairn::tools {

// Cuts a stream of text into statements at each semicolon that ends one: not inside quotes,
// comments or the body of a trigger. Not thread-safe.
class StatementSplitter {
 public:
  struct Statement {
    std::string sql;
    size_t line = 0;  // where it begins, counted from 1
  };

  void Append(std::string_view text);
  // The next whole statement, without the semicolon and what surrounds it; nothing if the text so
  // far holds no further one. Comments alone are no statement.
  std::optional<Statement> Next();
  // The text after the last whole statement holds more than space and comments.
  bool HasRest() const;
  // The rest, as a last statement that lacks its semicolon; afterwards empty.
  Statement TakeRest();

 private:
  std::string pending_;
  size_t line_ = 1;  // of the first character of pending_
  // A semicolon came since Next last found nothing: without one, no statement can have ended.
  bool may_have_ended_ = false;
};

// Whether the statement only reads, and so goes to Query: SELECT, VALUES, EXPLAIN, a WITH in front
// of a SELECT or VALUES, and a PRAGMA that sets nothing.
bool IsQuery(std::string_view sql);

// The first words of the statement, at most `count`, in capitals and without quotes. Ends at the first
// punctuation.
std::vector<std::string> FirstWords(std::string_view sql, size_t count);

// The next token of the statement, without the space and the comments in front, which it takes off.
// Empty at the end.
std::string_view TakeToken(std::string_view* sql);
// The name without its quotes: na"me of "na""me", `na"me` and [na"me].
std::string UnquotedName(std::string_view token);
// In ASCII capitals.
std::string UpperCase(std::string_view word);

// PRAGMA name = value or PRAGMA name(value), in capitals. Nothing for another statement, or without a
// value.
struct PragmaSetting {
  std::string name;
  std::string value;
};
std::optional<PragmaSetting> ParsePragmaSetting(std::string_view sql);

// The parameters of the statement, in order, each once: ":a", "@b", "$c", "?5", "?".
std::vector<std::string> ParametersOf(std::string_view sql);

// Whether the statement changes rows and nothing it returns depends on the statements before it, so
// that it may be sent together with its neighbours: INSERT, REPLACE, UPDATE and DELETE without
// RETURNING.
bool IsPlainChange(std::string_view sql);

// A DELETE or UPDATE that is run again and again, each time on `rows` rows, until no row is left.
struct Sliced {
  std::string sql;  // with its LIMIT
  int64_t rows = 0;
  // A slice that changes fewer rows is the last. Of a DELETE a slice is last only when it deletes
  // nothing, because a trigger may keep some rows of a slice (RAISE(IGNORE)). An UPDATE ends with a
  // slice that is not full: if its WHERE finds the rows that it changed, it would never end.
  int64_t rows_to_go_on = 0;
};

// Parses "[ROWS] STATEMENT", with or without a semicolon. INVALID_ARGUMENT for a statement that
// cannot be cut: another kind of statement, one with a LIMIT or RETURNING of its own, or an UPDATE
// of all rows, which would change the same rows for ever.
Result<Sliced> ParseSlices(std::string_view text, int64_t rows_default, int64_t rows_max);

}  // namespace cairn::tools
