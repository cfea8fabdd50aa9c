// Readiness: whether clients should be sent to a node, and if not, why.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "node/replica.h"
#include "server/server.h"

namespace cairn::server {

// A node whose state is older than this would keep a linearizable read waiting for about as long.
inline constexpr SteadyTime kReadyAgeMax = std::chrono::seconds(10);

// The reasons why a node with this status is not ready, one line each. None: the node takes part,
// knows a leader, applies the log, and answers reads and writes soon.
std::vector<std::string> WhyNotReady(const node::ReplicaStatus& status,
                                     const std::optional<LeaderHint>& leader);

// The core thread turns a hundred times a second. One that has not for so long is stuck, and
// whoever supervises the process should end it.
inline constexpr SteadyTime kStuckAfter = std::chrono::seconds(10);

// The role of a node that is ready, or the reasons why it is not, in one line.
ServerHealth HealthOf(const node::Replica& replica, const Clock& clock);

}  // namespace cairn::server
