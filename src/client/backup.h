// Makes a backup of a cluster into a file: Client::Backup.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/result.h"
#include "cairn/backup.h"
#include "security/tls.h"

namespace cairn::client {

// Asks the endpoints in turn. If the connection breaks, the backup goes on at the same node, if that
// still holds what it sends, and begins anew otherwise. A node has `timeout` to begin.
Result<BackupResult> MakeBackup(const std::vector<std::string>& endpoints,
                                const security::TlsPtr& tls, std::chrono::milliseconds timeout,
                                const BackupOptions& options);

}  // namespace cairn::client
