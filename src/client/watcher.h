// The client's side of a watch: one stream at a time, made anew after a break.
//
// At most two responses are held: one that Next takes events from, and one that has been read
// ahead. So a program that takes its time holds the node back.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "cairn/watch.h"
#include "security/tls.h"

namespace cairn::client {

// `retry_for`: how long nodes that cannot be reached are tried before a watch that has not begun, or
// whose position the other nodes do not hold, ends.
Result<std::unique_ptr<Watcher>> NewWatcher(std::vector<std::string> endpoints,
                                            security::TlsPtr tls,
                                            std::chrono::milliseconds retry_for,
                                            const WatchOptions& options);

}  // namespace cairn::client
