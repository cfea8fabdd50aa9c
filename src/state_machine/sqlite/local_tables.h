// The tables that show the node, the file or the connection, and not the data.
#pragma once

#include <algorithm>
#include <array>
#include <string_view>

namespace cairn::state_machine {

// The raw pages, which hold the internal tables too.
inline constexpr std::string_view kPagesTable = "sqlite_dbpage";

// A write may not read them.
inline bool IsLocalTable(std::string_view lower_name) {
  constexpr std::array<std::string_view, 8> kNames = {
      "dbstat",      "sqlite_stmt",   kPagesTable,  "bytecode",
      "tables_used", "sqlite_dbdata", "completion", "sqlite_memstat"};
  return lower_name.starts_with("pragma_") ||
         std::find(kNames.begin(), kNames.end(), lower_name) != kNames.end();
}

}  // namespace cairn::state_machine
