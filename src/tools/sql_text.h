// What the shell must know of SQL's surface: where a statement ends, and whether it reads.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace cairn::tools {

// Cuts a stream of text into statements at each semicolon that ends one: not inside quotes,
// comments or the body of a trigger. Not thread-safe.
class StatementSplitter {
 public:
  void Append(std::string_view text);
  // The next whole statement, without the semicolon and what surrounds it; nothing if the text so
  // far holds no further one. Comments alone are no statement.
  std::optional<std::string> Next();
  // The text after the last whole statement holds more than space and comments.
  bool HasRest() const;
  // The rest, as a last statement that lacks its semicolon; afterwards empty.
  std::string TakeRest();

 private:
  std::string pending_;
  // A semicolon came since Next last found nothing: without one, no statement can have ended.
  bool may_have_ended_ = false;
};

// True if the statement only reads, and so is for Query: SELECT, VALUES, EXPLAIN, a WITH in front
// of a SELECT or VALUES, and a PRAGMA that sets nothing.
bool IsQuery(std::string_view sql);

}  // namespace cairn::tools
