// BulkLoad: the rows of a local database go into a cluster.
#pragma once

#include <functional>
#include <set>
#include <string>

#include "base/result.h"
#include "cairn/client.h"
#include "tools/local_database.h"

namespace cairn::tools {

// What fits in one command is loaded by one command. More than that goes into tables under names that
// begin with kStagePrefix, by many commands; one last command renames all of them. So the tables are
// there as a whole, or not at all. If a command fails, the tables that were staged are dropped. Only
// a program that is killed leaves them behind.
//
// Rows for tables that the cluster has are moved from the stage by the last command, up to 64 MiB. More
// of them are loaded with `resume` alone (resumed_load.h).
//
// What can be found wrong is found before anything is sent (load_checks.h).

struct BulkLoadOptions {
  std::string source;              // in errors
  std::set<std::string> existing;  // the tables of the cluster that get rows, in lower case
  bool rows_are_lines = false;     // the rowids of their rows are lines of the source
  bool resume = false;
  bool unchecked = false;  // rows may refer to nothing
  // One command takes so much. For tests.
  size_t one_command_bytes = 15u << 20;
  std::function<void(const std::string& line)> tell;
  std::function<void(uint64_t rows, uint64_t rows_all, uint64_t bytes)> on_progress;
};

struct BulkLoadResult {
  uint64_t rows = 0;
  uint64_t tables = 0;
  uint64_t commands = 0;
};

// `client` sends writes; `maintenance`, with ClientOptions::maintenance, those that need more work.
Result<BulkLoadResult> BulkLoad(LocalDatabase* local, Client* client, Client* maintenance,
                                const BulkLoadOptions& options);

}  // namespace cairn::tools
