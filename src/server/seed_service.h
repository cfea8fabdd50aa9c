// The seed's service, transaction.DatabaseService: old clients keep working, number for number.
#pragma once

#include <grpcpp/impl/service_type.h>

#include <functional>
#include <memory>

#include "base/clock.h"
#include "node/replica.h"
#include "server/api.h"

namespace cairn::server {

// `can_serve` tells whether this node is healthy. All must outlive the service.
std::unique_ptr<grpc::Service> NewSeedService(Api* api, node::Replica* replica, Clock* clock,
                                              std::function<bool()> can_serve);

}  // namespace cairn::server
