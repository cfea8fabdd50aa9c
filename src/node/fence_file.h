// The note in the data directory that this node was fenced: its database does not hold what it
// should. No process may use the database, not even after a restart, until a snapshot has replaced
// it.
#pragma once

#include <string>

#include "base/file_system.h"
#include "base/result.h"
#include "base/status.h"

namespace cairn::node {

// The note is durable when the call returns.
Status RememberFence(FileSystem& fs, const std::string& data_directory, const std::string& why);
Status ForgetFence(FileSystem& fs, const std::string& data_directory);
// Returns the reason in words; empty if the node is not fenced.
Result<std::string> ReadFence(FileSystem& fs, const std::string& data_directory);

}  // namespace cairn::node
