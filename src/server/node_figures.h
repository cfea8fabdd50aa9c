// NodeFigures: what a scrape tells of a node, and the tables of its metrics.
//
// The tables follow the questions of an operator. Each is in a file of its own: metrics_safety.cc,
// metrics_speed.cc, metrics_room.cc, metrics_trouble.cc. docs/operations/metrics.md lists them all,
// and a test compares that page with the tables.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "http/door.h"
#include "metrics/metric.h"
#include "metrics/process.h"
#include "node/replica.h"
#include "server/cluster_service.h"
#include "server/event_ring.h"
#include "server/request_counts.h"
#include "state_machine/state_machine.h"

namespace cairn::server {

struct MemoryFigures {
  std::string share;
  size_t bytes = 0;
  size_t bytes_max = 0;
};

// What needs somebody (event_ring.h, conditions.h).
struct OperationsFigures {
  std::array<size_t, kEventSeverities> events_active{};  // by severity
  uint64_t backups_verified = 0;
  uint64_t backups_failed = 0;
  int64_t backup_verified_s = 0;  // of the Unix epoch; 0: none
  uint64_t log_lines_left_out = 0;
};

// Read at one scrape, from what the parts have published. What a pointer names outlives the scrape.
struct NodeFigures {
  SteadyTime now{0};  // by the steady clock
  NodeInfo info;
  node::ReplicaStatus status;
  bool has_leader = false;
  bool is_leader = false;
  bool ready = false;
  const node::ReplicaCounts* counts = nullptr;
  const RequestCounts* requests = nullptr;
  const http::DoorCounts* door = nullptr;

  // By node id, without this node.
  std::map<uint64_t, bool> connected;
  uint64_t messages_dropped = 0;
  uint64_t connections_refused = 0;  // of gRPC

  uint64_t writes_forwarded = 0;
  uint64_t writes_relayed = 0;
  size_t write_queue_commands_max = 0;
  size_t write_queue_bytes_max = 0;
  size_t reads_waiting = 0;
  size_t reads_waiting_bytes = 0;
  size_t long_queries = 0;
  size_t long_query_views = 0;
  size_t watches = 0;

  state_machine::StateFigures state;
  std::vector<MemoryFigures> memory;
  uint64_t database_bytes = 0;
  uint64_t wal_bytes = 0;
  size_t change_ring_bytes = 0;
  size_t change_ring_bytes_max = 0;
  uint64_t log_bytes_max = 0;
  uint64_t free_bytes_min = 0;
  uint64_t vector_bytes_max = 0;
  int64_t certificate_expires_s = 0;  // of the Unix epoch; 0: without TLS
  std::string tls_refusal;            // of the TLS files that are there now; empty: none
  OperationsFigures operations;
};

using NodeMetrics = std::vector<metrics::Metric<NodeFigures>>;
// The metrics of all parts, in their order.
NodeMetrics Joined(std::initializer_list<NodeMetrics> parts);
const NodeMetrics& SafetyMetrics();   // is it safe?
const NodeMetrics& SpeedMetrics();    // is it fast?
const NodeMetrics& RoomMetrics();     // is it full?
const NodeMetrics& TroubleMetrics();  // what is wrong?

// The text of a scrape: all of the above, and the metrics of the process.
std::string MetricsText(const NodeFigures& figures, const metrics::ProcessFigures& process);

// Every metric that a node may tell.
std::vector<metrics::Info> AllMetrics();

}  // namespace cairn::server
