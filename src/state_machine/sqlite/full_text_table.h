// Which full-text tables are told to those who watch.
#pragma once

#include <string_view>

namespace cairn::state_machine {

// True if `create_sql` makes an FTS3, FTS4 or FTS5 table that keeps the text of its rows, as the
// text was given, in a table NAME_content of its own. Only such a table can be told: the rows of a
// table with content=, compress= or uncompress= are elsewhere, or read otherwise.
bool KeepsItsText(std::string_view create_sql);

}  // namespace cairn::state_machine
