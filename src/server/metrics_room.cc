// Is it full? Memory by its shares, disk, and what the database holds.
#include "server/node_figures.h"

namespace cairn::server {
namespace {

using metrics::Type;
using metrics::Values;
using F = NodeFigures;

NodeMetrics Memory() {
  return {
      {{"cairn_memory_bytes",
        Type::kGauge,
        "Bytes taken from a share of the memory budget",
        {"share"}},
       [](const F& f, Values* v) {
         for (const MemoryFigures& m : f.memory) v->Add(static_cast<double>(m.bytes), {m.share});
       }},
      {{"cairn_memory_limit_bytes",
        Type::kGauge,
        "Bytes of a share; requests that need more are refused",
        {"share"}},
       [](const F& f, Values* v) {
         for (const MemoryFigures& m : f.memory) {
           v->Add(static_cast<double>(m.bytes_max), {m.share});
         }
       }},
      {{"cairn_watches", Type::kGauge, "Watches of changes that are open"},
       [](const F& f, Values* v) { v->Add(static_cast<double>(f.watches)); }},
      {{"cairn_change_ring_bytes", Type::kGauge, "Recent changes that are held for watches"},
       [](const F& f, Values* v) { v->Add(static_cast<double>(f.change_ring_bytes)); }},
      {{"cairn_change_ring_limit_bytes", Type::kGauge,
        "Bytes past which the oldest of these changes go"},
       [](const F& f, Values* v) { v->Add(static_cast<double>(f.change_ring_bytes_max)); }},
      {{"cairn_vector_graphs", Type::kGauge, "Graphs for approximate search of vectors"},
       [](const F& f, Values* v) { v->Add(static_cast<double>(f.state.vector_graphs)); }},
      {{"cairn_vector_graph_bytes", Type::kGauge, "Memory of these graphs"},
       [](const F& f, Values* v) { v->Add(static_cast<double>(f.state.vector_graph_bytes)); }},
      {{"cairn_vector_graph_limit_bytes", Type::kGauge,
        "Memory past which an index has no graph, and is searched exactly"},
       [](const F& f, Values* v) { v->Add(static_cast<double>(f.vector_bytes_max)); }},
  };
}

NodeMetrics Disk() {
  return {
      {{"cairn_disk_free_bytes", Type::kGauge,
        "Bytes free on the disk of the data, as of the last look, once a second"},
       [](const F& f, Values* v) { v->Add(static_cast<double>(f.counts->free_bytes.value())); }},
      {{"cairn_disk_free_min_bytes", Type::kGauge, "Below so many free bytes writes are refused"},
       [](const F& f, Values* v) { v->Add(static_cast<double>(f.free_bytes_min)); }},
      {{"cairn_database_bytes", Type::kGauge, "The file of the database, without its WAL"},
       [](const F& f, Values* v) { v->Add(static_cast<double>(f.database_bytes)); }},
      {{"cairn_wal_bytes", Type::kGauge, "SQLite's WAL: what no checkpoint has moved yet"},
       [](const F& f, Values* v) { v->Add(static_cast<double>(f.wal_bytes)); }},
      {{"cairn_log_bytes", Type::kGauge, "The log of Raft"},
       [](const F& f, Values* v) { v->Add(static_cast<double>(f.status.log_bytes)); }},
      {{"cairn_log_limit_bytes", Type::kGauge, "The size that compaction keeps the log near"},
       [](const F& f, Values* v) { v->Add(static_cast<double>(f.log_bytes_max)); }},
  };
}

NodeMetrics Database() {
  return {
      {{"cairn_sessions", Type::kGauge, "Sessions whose requests are remembered"},
       [](const F& f, Values* v) { v->Add(static_cast<double>(f.state.sessions)); }},
      {{"cairn_session_bytes", Type::kGauge,
        "What sessions and their requests count; at most "
        "64 MiB"},
       [](const F& f, Values* v) { v->Add(static_cast<double>(f.state.session_bytes)); }},
      {{"cairn_bare_request_ids", Type::kGauge,
        "Requests without a session that are remembered; at most 1,048,576"},
       [](const F& f, Values* v) { v->Add(static_cast<double>(f.state.bare_ids)); }},
      {{"cairn_prepared_transactions", Type::kGauge,
        "Two-phase transactions that are prepared; they hold their tables"},
       [](const F& f, Values* v) { v->Add(static_cast<double>(f.state.prepared)); }},
      {{"cairn_prepared_transaction_bytes", Type::kGauge, "What prepared transactions count"},
       [](const F& f, Values* v) { v->Add(static_cast<double>(f.state.prepared_bytes)); }},
  };
}

}  // namespace

const NodeMetrics& RoomMetrics() {
  static const auto* const kMetrics = new NodeMetrics(Joined({Memory(), Disk(), Database()}));
  return *kMetrics;
}

}  // namespace cairn::server
