// DigestOfDatabase: one hash over every row of every table of a node's database.
#pragma once

#include <cstdint>
#include <string>

#include "base/fault_file_system.h"
#include "base/ids.h"
#include "base/result.h"

namespace cairn::sim {

// The digest includes Cairn's own tables, shadow tables, rowids and the schema. Equal replicas give
// equal digests. It reads a copy, so the node is not affected.
struct DatabaseDigest {
  LogIndex applied;  // as the file itself states
  uint64_t digest = 0;
};
Result<DatabaseDigest> DigestOfDatabase(const FaultFileSystem& disk, const std::string& path);
// All rows as text, for a person.
Result<std::string> DumpOfDatabase(const FaultFileSystem& disk, const std::string& path);

}  // namespace cairn::sim
