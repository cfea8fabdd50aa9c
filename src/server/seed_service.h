// The service transaction.DatabaseService, the contract of the first clients. They keep working,
// number for number.
#pragma once

#include <grpcpp/impl/service_type.h>

#include <functional>
#include <memory>

#include "server/module_host.h"

namespace cairn::server {

// `can_serve` tells whether this node is healthy.
std::unique_ptr<grpc::Service> NewSeedService(const ServiceHost& host,
                                              std::function<bool()> can_serve);

}  // namespace cairn::server
