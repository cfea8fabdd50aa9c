// What is wrong? Refusals, fences, elections, disks and clocks.
#include "server/node_figures.h"

namespace cairn::server {
namespace {

using metrics::Type;
using metrics::Values;
using F = NodeFigures;

double Number(const Counter& counter) { return static_cast<double>(counter.value()); }

NodeMetrics Service() {
  return {
      {{"cairn_in_trouble", Type::kGauge,
        "1 while the node refuses writes for a reason of its own; "
        "cairn status tells the reason"},
       [](const F& f, Values* v) { v->Add(!f.status.trouble.ok()); }},
      {{"cairn_fenced", Type::kGauge,
        "1 while the node is out of service because it held something wrong"},
       [](const F& f, Values* v) { v->Add(f.status.fenced); }},
      {{"cairn_fences_total", Type::kCounter, "Times that the node was taken out of service so"},
       [](const F& f, Values* v) { v->Add(static_cast<double>(f.status.digests.fences)); }},
      {{"cairn_in_doubt", Type::kGauge,
        "1 while something needs a person, as `doubt` of the "
        "status says in words"},
       [](const F& f, Values* v) { v->Add(!f.status.digests.doubt.empty()); }},
      {{"cairn_clock_behind", Type::kGauge,
        "1 while the clock of this leader is behind the times in the log"},
       [](const F& f, Values* v) { v->Add(f.status.clock_doubt); }},
      {{"cairn_refused_writes_total",
        Type::kCounter,
        "Writes that the leader's part of this node refused, surely not applied",
        {"reason"}},
       [](const F& f, Values* v) {
         for (size_t i = 0; i < node::kWriteRefusals; ++i) {
           v->Add(Number(f.counts->writes_refused[i]),
                  {node::WriteRefusalName(static_cast<node::WriteRefusal>(i))});
         }
       }},
      {{"cairn_apply_stops_total", Type::kCounter, "Times that the database failed"},
       [](const F& f, Values* v) { v->Add(Number(f.counts->apply_stops)); }},
      {{"cairn_time_series_upkeep_failing", Type::kGauge,
        "Time series whose expiry and rollups fail, and are left out"},
       [](const F& f, Values* v) { v->Add(static_cast<double>(f.state.time_series_troubles)); }},
  };
}

NodeMetrics Upkeep() {
  return {
      {{"cairn_events",
        Type::kGauge,
        "Events that hold now; cairn events tells them",
        {"severity"}},
       [](const F& f, Values* v) {
         for (size_t i = 0; i < kEventSeverities; ++i) {
           v->Add(static_cast<double>(f.operations.events_active[i]),
                  {SeverityName(static_cast<EventSeverity>(i))});
         }
       }},
      {{"cairn_backups_total",
        Type::kCounter,
        "Backups that clients told this node of; verified: stored, and read back",
        {"result"}},
       [](const F& f, Values* v) {
         v->Add(static_cast<double>(f.operations.backups_verified), {"verified"});
         v->Add(static_cast<double>(f.operations.backups_failed), {"failed"});
       }},
      {{"cairn_backup_verified_timestamp_seconds", Type::kGauge,
        "When the last good backup was told, by the Unix epoch; absent: none was"},
       [](const F& f, Values* v) {
         if (f.operations.backup_verified_s == 0) return;
         v->Add(static_cast<double>(f.operations.backup_verified_s));
       }},
      {{"cairn_log_lines_left_out_total", Type::kCounter,
        "Lines that the log left out because too many came"},
       [](const F& f, Values* v) { v->Add(static_cast<double>(f.operations.log_lines_left_out)); }},
  };
}

NodeMetrics Group() {
  return {
      {{"cairn_elections_total", Type::kCounter, "Elections that this node began as a candidate"},
       [](const F& f, Values* v) { v->Add(Number(f.counts->elections)); }},
      {{"cairn_terms_led_total", Type::kCounter, "Elections that this node won"},
       [](const F& f, Values* v) { v->Add(Number(f.counts->terms_led)); }},
      {{"cairn_leader_changes_total", Type::kCounter,
        "Times that this node learned of another "
        "leader than the last one"},
       [](const F& f, Values* v) { v->Add(Number(f.counts->leader_changes)); }},
      {{"cairn_snapshots_sent_total", Type::kCounter, "Snapshots for peers", {"result"}},
       [](const F& f, Values* v) {
         v->Add(Number(f.counts->snapshots_sent), {"sent"});
         v->Add(Number(f.counts->snapshots_not_sent), {"failed"});
       }},
      {{"cairn_snapshots_received_total", Type::kCounter, "Snapshots that came whole"},
       [](const F& f, Values* v) { v->Add(Number(f.counts->snapshots_received)); }},
      {{"cairn_snapshots_installed_total",
        Type::kCounter,
        "Snapshots that were put in the place of the database",
        {"result"}},
       [](const F& f, Values* v) {
         v->Add(Number(f.counts->snapshots_installed), {"installed"});
         v->Add(Number(f.counts->snapshot_installs_failed), {"failed"});
       }},
      {{"cairn_peer_messages_dropped_total", Type::kCounter,
        "Messages for peers that were dropped; Raft sends again"},
       [](const F& f, Values* v) { v->Add(static_cast<double>(f.messages_dropped)); }},
  };
}

NodeMetrics DiskAndDoors() {
  return {
      {{"cairn_disk_stalls_total", Type::kCounter,
        "Times that the disk of the log did not answer for a second"},
       [](const F& f, Values* v) { v->Add(Number(f.counts->disk_stalls)); }},
      {{"cairn_log_full_total", Type::kCounter, "Times that the log found no room on its disk"},
       [](const F& f, Values* v) { v->Add(Number(f.counts->log_fulls)); }},
      {{"cairn_connections_refused_total", Type::kCounter,
        "Connections of clients and peers that were refused because there were too many"},
       [](const F& f, Values* v) { v->Add(static_cast<double>(f.connections_refused)); }},
      {{"cairn_http_connections", Type::kGauge, "Connections of the HTTP door that are open"},
       [](const F& f, Values* v) { v->Add(Number(f.door->connections)); }},
      {{"cairn_http_connections_ended_total",
        Type::kCounter,
        "Connections of the HTTP door that it ended for a reason",
        {"reason"}},
       [](const F& f, Values* v) {
         v->Add(Number(f.door->connections_refused), {"refused"});
         v->Add(Number(f.door->connections_evicted), {"evicted"});
         v->Add(Number(f.door->connections_late), {"late"});
       }},
      {{"cairn_http_requests_total", Type::kCounter, "Requests of the HTTP door", {"result"}},
       [](const F& f, Values* v) {
         v->Add(Number(f.door->requests), {"answered"});
         v->Add(Number(f.door->requests_refused), {"refused"});
       }},
  };
}

}  // namespace

const NodeMetrics& TroubleMetrics() {
  static const auto* const kMetrics =
      new NodeMetrics(Joined({Service(), Upkeep(), Group(), DiskAndDoors()}));
  return *kMetrics;
}

}  // namespace cairn::server
