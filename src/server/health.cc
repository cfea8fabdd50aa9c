#include "server/health.h"

namespace cairn::server {
namespace {

constexpr std::chrono::milliseconds kLookInterval(50);

// The services that clients may ask about; "" is the node as a whole.
constexpr const char* kServices[] = {"", "transaction.DatabaseService", "cairn.v1.Database"};

void Tell(grpc::HealthCheckServiceInterface* health, bool serving) {
  for (const char* service : kServices) health->SetServingStatus(service, serving);
}

}  // namespace

bool CanServe(const node::Replica& replica) {
  const std::optional<LeaderHint> leader = replica.leader_hint();
  if (!leader || leader->address.empty()) return false;
  const node::ReplicaStatus status = replica.status();
  return status.stage == transport::LifeStage::kStarted && !status.apply_stopped &&
         status.trouble.ok();
}

HealthMonitor::HealthMonitor(const node::Replica* replica,
                             grpc::HealthCheckServiceInterface* health)
    : replica_(replica), health_(health) {
  Tell(health_, false);
  thread_ = std::thread([this] { Run(); });
}

HealthMonitor::~HealthMonitor() {
  {
    MutexLock lock(mutex_);
    stopped_ = true;
    changed_.NotifyAll();
  }
  thread_.join();
  Tell(health_, false);
}

void HealthMonitor::Run() {
  bool serving = false;
  MutexLock lock(mutex_);
  while (!stopped_) {
    lock.Unlock();
    if (const bool now = CanServe(*replica_); now != serving) {
      serving = now;
      Tell(health_, serving);
    }
    lock.Lock();
    changed_.WaitFor(lock, kLookInterval, [this]() CAIRN_REQUIRES(mutex_) { return stopped_; });
  }
}

}  // namespace cairn::server
