// Whether a node can serve, kept up to date for grpc.health.v1.
#pragma once

#include <grpcpp/health_check_service_interface.h>

#include <thread>

#include "base/mutex.h"
#include "node/replica.h"

namespace cairn::server {

// The node has started, knows a leader (so that writes and reads can be answered), and is not in
// trouble.
bool CanServe(const node::Replica& replica);

// Looks at the replica many times a second, and tells gRPC's health service of each change. Both
// must outlive the monitor.
class HealthMonitor {
 public:
  HealthMonitor(const node::Replica* replica, grpc::HealthCheckServiceInterface* health);
  // Ends with NOT_SERVING.
  ~HealthMonitor();
  HealthMonitor(const HealthMonitor&) = delete;
  HealthMonitor& operator=(const HealthMonitor&) = delete;

 private:
  void Run();

  const node::Replica* const replica_;
  grpc::HealthCheckServiceInterface* const health_;
  Mutex mutex_;
  CondVar changed_;
  bool stopped_ CAIRN_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace cairn::server
