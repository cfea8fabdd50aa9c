// What a node says of itself and of its cluster, as the message of the service Cluster.
#pragma once

#include "base/clock.h"
#include "cairn/v1/cluster.pb.h"
#include "node/replica.h"
#include "server/cluster_service.h"

namespace cairn::server {

// `now` is the time by the steady clock of the node.
v1::StatusResponse StatusOf(const node::ReplicaStatus& status, const NodeInfo& info,
                            SteadyTime now);

// Takes what a client has sent, and who it is, out of the message: for those who may not read the data.
void LeaveOutClients(v1::StatusResponse* status);

}  // namespace cairn::server
