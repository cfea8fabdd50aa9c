#include "server/scrape.h"

#include <algorithm>
#include <utility>

#include "base/log_control.h"
#include "server/http_service.h"
#include "server/listener.h"
#include "server/long_reads.h"
#include "server/operations.h"
#include "server/read_pool.h"
#include "server/readiness.h"
#include "server/router.h"
#include "server/server.h"
#include "server/watch_hub.h"
#include "state_machine/change_ring.h"

namespace cairn::server {
namespace {

// "open_streams" of "open streams": the values of labels have no spaces.
std::string LabelOf(std::string name) {
  std::replace(name.begin(), name.end(), ' ', '_');
  return name;
}

void ReadReplica(const ScrapeSources& sources, NodeFigures* figures) {
  node::Replica& replica = *sources.replica;
  figures->status = replica.status();
  const std::optional<LeaderHint> leader = replica.leader_hint();
  figures->has_leader = leader && !leader->address.empty();
  figures->is_leader = replica.is_leader();
  figures->ready = WhyNotReady(figures->status, leader).empty();
  figures->state = replica.state().figures();
  figures->wal_bytes = replica.state().WalBytes();
  if (const auto ring = replica.state().changes()) {
    figures->change_ring_bytes = ring->bytes();
    figures->change_ring_bytes_max = ring->bytes_max();
  }
  const auto& members = figures->status.core.config.info;
  for (const auto& [member, connected] : sources.transport->connections()) {
    const auto info = members.find(member);
    if (info != members.end()) figures->connected[info->second.node_id] = connected;
  }
  figures->messages_dropped = sources.transport->messages_dropped();
}

void ReadOperations(const Operations& operations, OperationsFigures* figures) {
  for (size_t i = 0; i < kEventSeverities; ++i) {
    figures->events_active[i] = operations.events().Active(static_cast<EventSeverity>(i));
  }
  const BackupNotes backups = operations.backups();
  figures->backups_verified = backups.verified;
  figures->backups_failed = backups.failed;
  figures->backup_verified_s = backups.last_verified_s;
  figures->log_lines_left_out = LogLinesLeftOut();
}

}  // namespace

NodeFigures ReadFigures(const ScrapeSources& sources) {
  NodeFigures figures;
  figures.now = sources.clock->SteadyNow();
  figures.info = sources.info;
  figures.counts = sources.counts;
  figures.requests = sources.requests;
  static const http::DoorCounts kNoDoor;
  figures.door = sources.http == nullptr ? &kNoDoor : &sources.http->counts();
  ReadReplica(sources, &figures);
  figures.connections_refused = sources.listener->refused();
  figures.writes_forwarded = sources.router->forwarded();
  figures.writes_relayed = sources.router->relayed();
  const ReadPool::Load reads = sources.reads->load();
  figures.reads_waiting = reads.tasks;
  figures.reads_waiting_bytes = reads.bytes;
  const LongReads::Load long_reads = sources.long_reads->load();
  figures.long_queries = long_reads.tasks;
  figures.long_query_views = long_reads.views;
  figures.watches = sources.watches->open();
  for (const MemoryShare* share : sources.memory) {
    figures.memory.push_back({LabelOf(share->name()), share->bytes(), share->bytes_max()});
  }
  const ServerOptions& options = *sources.options;
  const Result<uint64_t> size = sources.fs->SizeOf(options.db_path);
  if (size.ok()) figures.database_bytes = *size;  // there is none while a snapshot takes its place
  figures.write_queue_commands_max = options.write_queue_commands_max;
  figures.write_queue_bytes_max = sources.write_queue_bytes_max;
  figures.log_bytes_max = options.log_bytes_max;
  figures.free_bytes_min = options.free_bytes_min;
  figures.vector_bytes_max = options.vector_bytes_max;
  if (sources.tls != nullptr) {
    figures.certificate_expires_s = sources.tls->expires_s();
    figures.tls_refusal = sources.tls->refusal();
  }
  ReadOperations(*sources.operations, &figures.operations);
  return figures;
}

}  // namespace cairn::server
