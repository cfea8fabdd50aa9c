// Names in the text of SQL statements.
#pragma once

#include <string>
#include <string_view>

namespace cairn {

// The name in double quotes. SQL then takes it for a name, whatever it holds.
inline std::string QuotedName(std::string_view name) {
  std::string quoted = "\"";
  for (const char c : name) quoted.append(c == '"' ? 2 : 1, c);
  return quoted + '"';
}

}  // namespace cairn
