// The service cairn.v1.Database.
#pragma once

#include <grpcpp/impl/service_type.h>

#include <memory>

#include "base/clock.h"
#include "node/replica.h"
#include "server/api.h"
#include "server/read_pool.h"
#include "server/session_service.h"

namespace cairn::server {

// An older reader pins SQLite's write-ahead log.
inline constexpr SteadyTime kQueryAgeMax = std::chrono::seconds(60);

// `streams` runs the Query calls, each for at most `query_age_max`. All must outlive the service.
std::unique_ptr<grpc::Service> NewDatabaseService(Api* api, node::Replica* replica,
                                                  ReadPool* streams, Flusher* flusher, Clock* clock,
                                                  SteadyTime query_age_max = kQueryAgeMax);

}  // namespace cairn::server
