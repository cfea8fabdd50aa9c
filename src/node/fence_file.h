// The note in the data directory that this node was fenced: its database does not hold what it
// should, and is not to be used, after a restart either, before a snapshot has replaced it.
#pragma once

#include <string>

#include "base/file_system.h"
#include "base/result.h"
#include "base/status.h"

namespace cairn::node {

// Durable when it returns.
Status RememberFence(FileSystem& fs, const std::string& data_directory, const std::string& why);
Status ForgetFence(FileSystem& fs, const std::string& data_directory);
// Why, in words; empty: it is not fenced.
Result<std::string> ReadFence(FileSystem& fs, const std::string& data_directory);

}  // namespace cairn::node
