// The service cairn.v1.Database.
#pragma once

#include <grpcpp/impl/service_type.h>

#include <memory>

#include "server/module_host.h"
#include "server/session_service.h"

namespace cairn::server {

// The flusher must outlive the service.
std::unique_ptr<grpc::Service> NewDatabaseService(const ServiceHost& host, Flusher* flusher);

}  // namespace cairn::server
