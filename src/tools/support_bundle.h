// `cairn support-bundle`: one file for whoever helps: of each node its status, health, events, metrics,
// log, settings and versions, and what `cairn doctor` says. No data and no secrets.
#pragma once

#include <chrono>
#include <map>
#include <string>

#include "base/result.h"
#include "base/status.h"

namespace cairn::tools {

// The contents by name.
using Bundle = std::map<std::string, std::string>;

// Asks all nodes of the cluster that `address` belongs to. A node that does not answer is in the
// bundle with the reason.
Result<Bundle> BundleOfCluster(const std::string& address, std::chrono::milliseconds timeout);

// Of a node that does not run: `directory` is its FILE.cairn. Names, sizes and times of the files, the
// room on the disk, and why the data may not be used. No file of data is read.
Result<Bundle> BundleOfDirectory(const std::string& directory);

// Writes a tar archive, compressed by zstd, that only its owner may read. A file that is there is
// not replaced.
Status WriteBundle(const Bundle& bundle, const std::string& path, int64_t time_s);

}  // namespace cairn::tools
