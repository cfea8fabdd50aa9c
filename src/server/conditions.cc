#include "server/conditions.h"

#include <algorithm>

#include "server/readiness.h"

namespace cairn::server {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

// Writes are refused below the reserve. Whoever frees space needs time.
constexpr uint64_t kReservesAhead = 8;
constexpr int64_t kDayS = 86'400;
// As the log warns: whoever comes by once a month has time.
constexpr int64_t kExpiryAheadS = 30 * kDayS;
constexpr int64_t kExpiryLateS = 2 * kDayS;

using Conditions = std::vector<Condition>;

void LookAtRoom(const NodeFigures& f, Conditions* out) {
  const uint64_t free = f.counts->free_bytes.value();  // 0: the log thread has not looked yet
  if (free > 0 && free < f.free_bytes_min) {
    out->push_back({"disk_low", "", EventSeverity::kCritical,
                    std::to_string(free >> 20) + " MiB are free on the disk of the data, and " +
                        std::to_string(f.free_bytes_min >> 20) +
                        " MiB are its reserve: writes are refused",
                    "free space on the disk (A full disk)", seconds(0)});
  } else if (free > 0 && free < f.free_bytes_min * kReservesAhead) {
    out->push_back({"disk_low", "", EventSeverity::kWarning,
                    std::to_string(free >> 20) + " MiB are free on the disk of the data; below " +
                        std::to_string(f.free_bytes_min >> 20) + " MiB writes are refused",
                    "free space on the disk (A full disk)", seconds(10)});
  }
  for (const MemoryFigures& share : f.memory) {
    if (share.bytes_max == 0 || share.bytes < share.bytes_max / 5 * 4) continue;
    out->push_back({"memory_high", share.share, EventSeverity::kWarning,
                    "more than four fifths of the memory for " + share.share + " are in use",
                    "send less at a time, or raise memory-bytes-max (RESOURCE_EXHAUSTED)",
                    seconds(10)});
  }
}

void LookAtCertificate(const Watched& watched, Conditions* out) {
  if (!watched.figures.tls_refusal.empty()) {
    out->push_back(
        {"tls_files_refused", "", EventSeverity::kWarning,
         "the TLS files have changed and do not all count: " + watched.figures.tls_refusal +
             ". The node goes on with the old ones, and would not start with these",
         "mend the files (Certificates)", seconds(5)});
  }
  const int64_t expires_s = watched.figures.certificate_expires_s;
  if (expires_s == 0) return;
  // A clock that was not set tells less than the latest time that is replicated.
  const int64_t now_s = std::max(watched.wall_s, watched.figures.status.wall_ms / 1000);
  const int64_t left_s = expires_s - now_s;
  if (left_s > kExpiryAheadS) return;
  const std::string when = left_s <= 0
                               ? "has expired"
                               : "expires within " + std::to_string(left_s / kDayS + 1) + " days";
  out->push_back({"certificate_expires", "",
                  left_s <= kExpiryLateS ? EventSeverity::kCritical : EventSeverity::kWarning,
                  "the certificate of this node " + when, "cairn cert renew (Certificates)",
                  seconds(0)});
}

void LookAtCluster(const NodeFigures& f, Conditions* out) {
  const node::ReplicaStatus& status = f.status;
  const bool started = status.stage == transport::LifeStage::kStarted;
  if (started && !f.has_leader) {
    out->push_back({"no_leader", "", EventSeverity::kCritical,
                    "no leader is known: nothing is written, and no read is linearizable",
                    "start the missing nodes on their old data (No leader)", seconds(10)});
  }
  if (!started) {
    out->push_back({"not_started", "", EventSeverity::kCritical,
                    status.waiting_for.empty() ? "this node takes no part in a cluster yet"
                                               : status.waiting_for,
                    "start the nodes that it waits for, or correct its peers (A node does not "
                    "start)",
                    minutes(1)});
  }
  for (const auto& [node_id, connected] : f.connected) {
    if (connected) continue;
    out->push_back({"member_away", "node " + std::to_string(node_id), EventSeverity::kWarning,
                    "node " + std::to_string(node_id) + " is not connected",
                    "start it, or look at the network (A node does not start)", minutes(1)});
  }
  if (status.level > 0 && status.level < status.level_max) {
    out->push_back({"level_not_raised", "", EventSeverity::kNote,
                    "the cluster is at feature level " + std::to_string(status.level) +
                        ", and this node knows level " + std::to_string(status.level_max),
                    "once all nodes are upgraded: cairn member upgrade (Upgrading)", minutes(10)});
  }
}

void LookAtNode(const Watched& watched, Conditions* out) {
  const node::ReplicaStatus& status = watched.figures.status;
  if (watched.turned_ago >= kStuckAfter) {
    out->push_back(
        {"core_stuck", "", EventSeverity::kCritical, "the core thread of this node does not turn",
         "make a support bundle, and start the node again (A node is stuck)", seconds(0)});
  }
  if (status.fenced || !status.trouble.ok()) {
    out->push_back({status.fenced ? "fenced" : "in_trouble", "",
                    status.fenced ? EventSeverity::kCritical : EventSeverity::kWarning,
                    status.trouble.message(),
                    status.fenced ? "look at its disk and its memory (A node does not hold what it "
                                    "should)"
                                  : "the text says whether the node helps itself (A node has "
                                    "stopped applying)",
                    seconds(5)});
  }
  if (!status.digests.doubt.empty()) {
    out->push_back({"in_doubt", "", EventSeverity::kWarning, status.digests.doubt,
                    "see the text (A node does not hold what it should)", seconds(5)});
  }
  if (status.clock_doubt) {
    out->push_back({"clock_behind", "", EventSeverity::kWarning,
                    "the clock of this leader is behind the latest time in the log",
                    "set the clock (A node does not hold what it should)", seconds(60)});
  }
  if (status.busy_apply) {
    // The statement is a client's data, and is told by the status alone.
    out->push_back({"apply_busy", "", EventSeverity::kWarning,
                    "one command holds up all writes behind it", "it ends by itself (Writers wait)",
                    seconds(10)});
  }
}

void LookAtBackups(const BackupNotes& backups, Conditions* out) {
  if (backups.failure.empty()) return;
  out->push_back({"backup_failed", "", EventSeverity::kWarning,
                  "the last backup, to " + backups.place + ", is not good: " + backups.failure,
                  "make another one (A backup failed)", seconds(0)});
}

}  // namespace

std::vector<Condition> ConditionsOf(const Watched& watched) {
  Conditions conditions;
  LookAtNode(watched, &conditions);
  LookAtCluster(watched.figures, &conditions);
  LookAtRoom(watched.figures, &conditions);
  LookAtCertificate(watched, &conditions);
  LookAtBackups(watched.backups, &conditions);
  return conditions;
}

}  // namespace cairn::server
