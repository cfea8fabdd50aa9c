// What is found wrong with a load before anything is sent.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "tools/load_commands.h"

namespace cairn::tools {

inline constexpr size_t kRowBytesMax = 15u << 20;

// What the cluster has.
struct ClusterSchema {
  struct Object {
    std::string type;
    std::string name;
    std::string sql;
  };
  std::vector<Object> objects;
  int64_t user_version = 0;
  int64_t application_id = 0;
};
Result<ClusterSchema> ReadClusterSchema(const LoadContext& load);

// No new table, index, view or trigger has the name of one that the cluster has, or a name that is
// Cairn's own. Tells of tables that a killed load has left.
Status CheckNames(const LoadContext& load, const ClusterSchema& schema);

// A new table can be renamed in the cluster: SQLite renames none while a view or a trigger names a
// table that is not there. The cluster itself tries, by a command that leaves nothing.
Status CheckRenames(LoadContext* load);

// No row is too large, and all text is UTF-8. Returns a digest of the rows: of what they are and of
// where they go.
Result<std::string> CheckRows(const LoadContext& load);

// Rows of new tables refer to rows of the input. True: some may refer to rows that only the cluster
// has, so the cluster must check.
Result<bool> CheckReferences(const LoadContext& load);

}  // namespace cairn::tools
