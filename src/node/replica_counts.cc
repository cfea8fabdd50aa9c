#include "node/replica_counts.h"

namespace cairn::node {

const char* WriteRefusalName(WriteRefusal refusal) {
  switch (refusal) {
    case WriteRefusal::kNotLeader: return "not_leader";
    case WriteRefusal::kQueueFull: return "queue_full";
    case WriteRefusal::kUncommitted: return "uncommitted";
    case WriteRefusal::kDiskFull: return "disk_full";
    case WriteRefusal::kOutOfService: return "out_of_service";
    case WriteRefusal::kLevel: return "level";
    case WriteRefusal::kMaintenance: return "maintenance";
    case WriteRefusal::kExpired: return "expired";
    case WriteRefusal::kStopping: break;
  }
  return "stopping";
}

}  // namespace cairn::node
