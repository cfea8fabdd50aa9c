// What a dump or a load must know of a virtual table.
#pragma once

#include <string>

namespace cairn::tools {

// A condition on a row `s` of sqlite_schema: no rollup of a time series, which comes with it.
inline constexpr char kNoRollup[] =
    " AND (s.sql IS NULL OR s.sql NOT LIKE 'CREATE VIRTUAL TABLE%USING timeseries\\_rollup(%' "
    "ESCAPE "
    "'\\')";

struct VirtualTable {
  bool has_rows = true;  // that INSERT takes; not so fts5vocab, or a full-text index of other rows
  // A full-text index of another table's rows: INSERT INTO f(f) VALUES('rebuild') makes its entries.
  bool rebuilds = false;
  bool without_content = false;  // a full-text index whose rows cannot be read
  std::string rowid;             // the column of the rowid, if it must be named; otherwise empty
};
// From its CREATE VIRTUAL TABLE.
VirtualTable DescribeVirtualTable(const std::string& sql);

}  // namespace cairn::tools
