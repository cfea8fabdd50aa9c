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
    case WriteRefusal::kQueueWait: return "queue_wait";
    case WriteRefusal::kCancelled: return "cancelled";
    case WriteRefusal::kStopping: break;
  }
  return "stopping";
}

const char* BatchEndName(BatchEnd end) {
  switch (end) {
    case BatchEnd::kIdle: return "idle";
    case BatchEnd::kAllCame: return "all_came";
    case BatchEnd::kDelay: return "delay";
    case BatchEnd::kCommands: return "commands";
    case BatchEnd::kBytes: return "bytes";
    case BatchEnd::kWork: break;
  }
  return "work";
}

}  // namespace cairn::node
