// The module `timeseries_rollup`: a rollup of a time series as a table that is read.
//
//     CREATE VIRTUAL TABLE m_1m USING timeseries_rollup('1m', the declaration of m)
//
// Only the module `timeseries` creates, renames and drops such tables, together with the time series
// `m`. They hold the rows of rollup_writer.h, and take the conditions and orders of plan.h.
#pragma once

#include <string_view>
#include <vector>

#include "base/sqlite_api.h"
#include "base/status.h"
#include "timeseries/sqlite/declaration.h"
#include "timeseries/sqlite/module.h"

namespace cairn::timeseries {

// `module` outlives the installation.
Status AddRollups(sqlite3* db, TimeSeriesModule* module);
Status RemoveRollups(sqlite3* db);

// What happens to a time series happens to its rollups. Called within the statement.
int CreateRollups(sqlite3* db, std::string_view schema, std::string_view table,
                  const std::vector<std::string_view>& arguments, const Declaration& declaration);
int DropRollups(sqlite3* db, std::string_view schema, std::string_view table,
                const Declaration& declaration);
int RenameRollups(sqlite3* db, std::string_view schema, std::string_view table,
                  std::string_view new_name, const Declaration& declaration);

}  // namespace cairn::timeseries
