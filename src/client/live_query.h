// The client's side of a query that is watched.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "cairn/client.h"
#include "security/tls.h"

namespace cairn::client {

// `client` must outlive the result. `retry_for`: how long nodes that cannot be reached are tried before a
// watch that has not begun ends.
Result<std::unique_ptr<LiveQuery>> NewLiveQuery(Client* client, std::vector<std::string> endpoints,
                                                security::TlsPtr tls,
                                                std::chrono::milliseconds retry_for,
                                                Statement statement, LiveQueryOptions options);

}  // namespace cairn::client
