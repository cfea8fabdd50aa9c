// `cairn member`: who belongs to the cluster, and changes to it.
#pragma once

#include <chrono>
#include <ostream>
#include <string>

#include "base/status.h"
#include "tools/node_client.h"
#include "tools/result_printer.h"

namespace cairn::tools {

// Each command goes to `node`, which passes it on to the leader. Progress and the result are
// printed to `out`. On a terminal (not null) a person also reads how long the command has been under
// way.
Status ListMembers(NodeClient* node, OutputMode mode, std::chrono::milliseconds timeout,
                   std::ostream* out);
Status ChangeMember(NodeClient* node, v1::ChangeMembershipRequest::Kind kind, uint64_t node_id,
                    const std::string& address, std::chrono::milliseconds timeout,
                    std::ostream* out, std::ostream* terminal);
// Raises the feature level to the highest that the leader knows.
Status UpgradeCluster(NodeClient* node, std::chrono::milliseconds timeout, std::ostream* out,
                      std::ostream* terminal);
// `node_id` 0: to the voter that has caught up best.
Status TransferLeadership(NodeClient* node, uint64_t node_id, std::chrono::milliseconds timeout,
                          std::ostream* out, std::ostream* terminal);

}  // namespace cairn::tools
