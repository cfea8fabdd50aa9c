#include "tools/sql_literal.h"

#include <sqlite3.h>

#include <cmath>

#include "base/sql_name.h"
#include "tools/result_printer.h"

namespace cairn::tools {
namespace {

std::string QuotedText(std::string_view text) {
  std::string quoted = "'";
  for (const char c : text) quoted.append(c == '\'' ? 2 : 1, c);
  return quoted + '\'';
}

}  // namespace

std::string LiteralText(const Value& value) {
  if (std::holds_alternative<std::monostate>(value)) return "NULL";
  if (const auto* const text = std::get_if<std::string>(&value)) {
    if (text->find('\0') == std::string::npos) return QuotedText(*text);
    return "CAST(" + PlainText(Blob{*text}) + " AS TEXT)";
  }
  // Past the greatest REAL. SQLite reads it as infinity.
  const auto* const real = std::get_if<double>(&value);
  if (real != nullptr && std::isinf(*real)) return *real < 0 ? "-1e999" : "1e999";
  return PlainText(value);
}

std::string NameText(std::string_view name) {
  bool plain = !name.empty() && !(name[0] >= '0' && name[0] <= '9');
  for (const char c : name) {
    plain = plain && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '_');
  }
  plain = plain && sqlite3_keyword_check(name.data(), static_cast<int>(name.size())) == 0;
  return plain ? std::string(name) : QuotedName(name);
}

}  // namespace cairn::tools
