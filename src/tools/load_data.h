// `cairn load`, and `.import` of the shell: data from elsewhere goes into a cluster.
#pragma once

#include <cstdint>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "base/result.h"
#include "tools/bulk_load.h"

namespace cairn::tools {

enum class LoadFormat { kSql, kSqlite, kCsv, kJsonLines };
std::optional<LoadFormat> ParseLoadFormat(const std::string& name);  // sql, sqlite, csv, jsonl

struct LoadRequest {
  std::vector<std::string> addresses;
  std::string path;                  // "-": standard input
  std::optional<LoadFormat> format;  // unset: by the name and the first bytes
  std::string table;                 // of CSV and JSON lines
  uint64_t skip = 0;                 // rows or lines at their start
  char separator = ',';              // of the fields of CSV
  bool resume = false;
  bool unchecked = false;
  // A terminal, where a person reads how far the load is; null if there is none.
  std::ostream* terminal = nullptr;
};

// Notes and bad rows go to `err`.
Result<BulkLoadResult> LoadData(const LoadRequest& request, std::ostream* err);

}  // namespace cairn::tools
