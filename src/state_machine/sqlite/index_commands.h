// Commands to a full-text table, such as INSERT INTO f(f, ...) VALUES('rebuild').
//
// Such a command may read and write the whole index and its content within one step of SQLite's
// virtual machine. The budget does not see that work, so only maintenance may give such a command.
// Settings are cheap, and so is 'delete', by which triggers keep the index of a table up to date.
#pragma once

#include <sqlite3.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/status.h"
#include "state_machine/sqlite/authorizer.h"
#include "state_machine/sqlite/schema_catalog.h"

namespace cairn::state_machine {

// For each INSERT INTO table(..., table, ...) of the text: the value for the column that has the
// name of the table. A string gives its text; any other value gives nothing.
std::vector<std::optional<std::string>> ValuesForOwnName(std::string_view sql,
                                                         std::string_view table);

// Whether the text makes a table of the module `timeseries`. The commands of such a table are short.
bool IsTimeSeries(std::string_view create_sql);

// PERMISSION_DENIED if a change of the schema puts a trigger, an index or a foreign key on the storage
// of a time series. The bad schedule: a trigger on `m_tail` leaves out rows that the time series has
// counted. A node that restarts counts again, and seals its tails at other points than its peers.
Status CheckTimeSeriesAlone(const SchemaCatalog& catalog, std::string_view sql);

// PERMISSION_DENIED if the statement inserts into a time series, and reads the storage of that. SQLite
// does not know that these are one, so the statement would read what it writes, without an end.
Status CheckReadsOfStorage(const SchemaCatalog& catalog, const ProgramFacts& facts);

// True if the statement, or a trigger that it runs, may give a command that takes long. `facts` are
// those of its program.
Result<bool> GivesLongIndexCommand(sqlite3* db, const SchemaCatalog& catalog,
                                   const ProgramFacts& facts, std::string_view sql);

// Whether the statement, or a trigger that it runs, makes a full-text table read its content from a view.
// The steps of the view are within those of the table, where no budget counts them.
Result<bool> RunsViewOfContent(sqlite3* db, const SchemaCatalog& catalog, const ProgramFacts& facts,
                               std::string_view sql);

}  // namespace cairn::state_machine
