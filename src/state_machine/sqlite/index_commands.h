// Commands to a full-text table: INSERT INTO f(f, ...) VALUES('rebuild').
//
// Such a command may read and write the whole index, and the content that it is of, within one step
// of SQLite's machine. The budget does not see that, so only maintenance may give one. Settings and
// 'delete', which triggers give to keep an index of a table, take no time to speak of.
#pragma once

#include <sqlite3.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "state_machine/sqlite/authorizer.h"
#include "state_machine/sqlite/schema_catalog.h"

namespace cairn::state_machine {

// What each INSERT INTO table(..., table, ...) of the text gives to the column that is named like the
// table: the text of a string, or nothing if the value is anything else.
std::vector<std::optional<std::string>> ValuesForOwnName(std::string_view sql,
                                                         std::string_view table);

// Whether the statement, or a trigger that it runs, may give a command that takes long. `facts` are
// those of its program.
Result<bool> GivesLongIndexCommand(sqlite3* db, const SchemaCatalog& catalog,
                                   const ProgramFacts& facts, std::string_view sql);

}  // namespace cairn::state_machine
