#include "server/readiness.h"

#include <algorithm>

namespace cairn::server {

std::vector<std::string> WhyNotReady(const node::ReplicaStatus& status,
                                     const std::optional<LeaderHint>& leader) {
  std::vector<std::string> reasons;
  const auto add = [&reasons](std::string reason) {
    // A text that is part of another one says nothing more.
    const auto known = [&reason](const std::string& each) {
      return each.find(reason) != std::string::npos;
    };
    if (!reason.empty() && std::none_of(reasons.begin(), reasons.end(), known)) {
      reasons.push_back(std::move(reason));
    }
  };
  if (!status.trouble.ok()) add(status.trouble.ToString());
  add(status.not_serving);
  if (status.stage != transport::LifeStage::kStarted) {
    add(status.waiting_for.empty() ? "this node does not take part in a cluster yet"
                                   : status.waiting_for);
    return reasons;
  }
  if (!leader || leader->address.empty()) {
    add("no leader is known: a majority of the voters must be up and reach each other");
  }
  if (status.apply_stopped && reasons.empty()) add("this node has stopped applying the log");
  if (!status.age) {
    add("this node catches up: it has not proved yet how old what it holds is");
  } else if (*status.age > kReadyAgeMax) {
    const auto age = std::chrono::duration_cast<std::chrono::seconds>(*status.age);
    add("this node catches up: what it holds is up to " + std::to_string(age.count()) + " s old");
  }
  return reasons;
}

ServerHealth HealthOf(const node::Replica& replica, const Clock& clock) {
  ServerHealth health;
  health.turned_ago = std::max(SteadyTime(0), clock.SteadyNow() - replica.last_turn());
  const node::ReplicaStatus status = replica.status();
  const std::optional<LeaderHint> leader = replica.leader_hint();
  for (const std::string& reason : WhyNotReady(status, leader)) {
    health.words += (health.words.empty() ? "not ready: " : "; ") + reason;
  }
  if (!health.words.empty()) return health;
  const size_t members = status.core.config.info.size();
  health.words =
      replica.is_leader() ? "leader" : "follower of node " + std::to_string(leader->node_id);
  health.words += ", members: " + std::to_string(members);
  return health;
}

}  // namespace cairn::server
