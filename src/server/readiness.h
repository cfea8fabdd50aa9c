// Readiness: whether clients should be sent to a node, and if not, why.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "node/replica.h"

namespace cairn::server {

// A node whose state is older than this would keep a linearizable read waiting for about as long.
inline constexpr SteadyTime kReadyAgeMax = std::chrono::seconds(10);

// The reasons why a node with this status is not ready, one line each. None: the node takes part,
// knows a leader, applies the log, and answers reads and writes soon.
std::vector<std::string> WhyNotReady(const node::ReplicaStatus& status,
                                     const std::optional<LeaderHint>& leader);

}  // namespace cairn::server
