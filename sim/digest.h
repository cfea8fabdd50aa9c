// DigestOfDatabase: one number over every row of every table of a node's database.
#pragma once

#include <cstdint>
#include <string>

#include "base/fault_file_system.h"
#include "base/ids.h"
#include "base/result.h"

namespace cairn::sim {

// Cairn's own tables, shadow tables, rowids and the schema included; equal replicas give equal
// numbers. Reads a copy, so that nothing in the node notices.
struct DatabaseDigest {
  LogIndex applied;  // as the file itself says
  uint64_t digest = 0;
};
Result<DatabaseDigest> DigestOfDatabase(const FaultFileSystem& disk, const std::string& path);
// The same in full, for a person.
Result<std::string> DumpOfDatabase(const FaultFileSystem& disk, const std::string& path);

}  // namespace cairn::sim
