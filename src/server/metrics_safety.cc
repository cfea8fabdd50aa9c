// Is it safe? Members, leader, log and what members compare.
#include <algorithm>
#include <map>
#include <string>

#include "server/node_figures.h"

namespace cairn::server {
namespace {

using metrics::kNanosecond;
using metrics::Type;
using metrics::Values;
using F = NodeFigures;

void Index(LogIndex index, Values* v) { v->Add(static_cast<double>(index.value())); }

size_t VotersNeeded(const raft::Configuration& config) { return config.voters.size() / 2 + 1; }

// Of a leader: itself, and the voters that it has heard within two election timeouts.
size_t VotersActive(const raft::CoreStatus& core) {
  return static_cast<size_t>(
      std::count_if(core.config.voters.begin(), core.config.voters.end(), [&core](MemberId id) {
        const auto peer = core.peers.find(id);
        return id == core.self || (peer != core.peers.end() && peer->second.recently_active);
      }));
}

template <class Read>
void EachPeer(const F& f, Values* v, Read read) {
  if (!f.is_leader) return;
  // While a node that was wiped takes the place of the old member, both have one node id. The later
  // member is the one that lives.
  std::map<uint64_t, const raft::PeerStatus*> by_node;
  for (const auto& [id, peer] : f.status.core.peers) {
    const auto info = f.status.core.config.info.find(id);
    if (info != f.status.core.config.info.end()) by_node[info->second.node_id] = &peer;
  }
  for (const auto& [node, peer] : by_node) {
    v->Add(static_cast<double>(read(*peer)), {std::to_string(node)});
  }
}

void Members(const F& f, Values* v) {
  size_t voters = 0;
  size_t learners = 0;
  for (const auto& [id, info] : f.status.core.config.info) {
    ++(f.status.core.config.IsVoter(id) ? voters : learners);
  }
  v->Add(static_cast<double>(voters), {"voter"});
  v->Add(static_cast<double>(learners), {"learner"});
}

NodeMetrics Group() {
  return {
      {{"cairn_node_info",
        Type::kGauge,
        "1; the labels name this node and its build",
        {"node", "version"}},
       [](const F& f, Values* v) {
         v->Add(1, {std::to_string(f.info.node_id), f.info.version});
       }},
      {{"cairn_ready", Type::kGauge, "1 if clients should be sent here; /readyz says why not"},
       [](const F& f, Values* v) { v->Add(f.ready); }},
      {{"cairn_is_leader", Type::kGauge, "1 if this node leads"},
       [](const F& f, Values* v) { v->Add(f.is_leader); }},
      {{"cairn_has_leader", Type::kGauge, "1 if this node knows a leader, which has a majority"},
       [](const F& f, Values* v) { v->Add(f.has_leader); }},
      {{"cairn_members", Type::kGauge, "Members of the cluster, as this node knows them", {"kind"}},
       &Members},
      {{"cairn_voters_needed", Type::kGauge, "Voters that are a majority"},
       [](const F& f, Values* v) {
         v->Add(static_cast<double>(VotersNeeded(f.status.core.config)));
       }},
      {{"cairn_voters_active", Type::kGauge,
        "Voters that answer the leader, itself included; told by the leader alone"},
       [](const F& f, Values* v) {
         if (f.is_leader) v->Add(static_cast<double>(VotersActive(f.status.core)));
       }},
      {{"cairn_membership_change_in_progress", Type::kGauge,
        "1 while a change of the members is not finished"},
       [](const F& f, Values* v) { v->Add(f.status.core.config_in_progress); }},
      {{"cairn_peer_connected",
        Type::kGauge,
        "1 if the peer has accepted this node's stream of messages",
        {"peer"}},
       [](const F& f, Values* v) {
         for (const auto& [node, connected] : f.connected)
           v->Add(connected, {std::to_string(node)});
       }},
      {{"cairn_peer_active",
        Type::kGauge,
        "1 if the peer has answered within two election timeouts; told by the leader alone",
        {"peer"}},
       [](const F& f, Values* v) {
         EachPeer(f, v, [](const raft::PeerStatus& peer) { return peer.recently_active; });
       }},
      {{"cairn_peer_match_index",
        Type::kGauge,
        "The last entry that the peer is known to hold; told by the leader alone",
        {"peer"}},
       [](const F& f, Values* v) {
         EachPeer(f, v, [](const raft::PeerStatus& peer) { return peer.match.value(); });
       }},
      {{"cairn_peer_inflight_bytes",
        Type::kGauge,
        "Bytes of entries that the peer has not acknowledged; told by the leader alone",
        {"peer"}},
       [](const F& f, Values* v) {
         EachPeer(f, v, [](const raft::PeerStatus& peer) { return peer.inflight_bytes; });
       }},
      {{"cairn_peer_awaits_snapshot",
        Type::kGauge,
        "1 if the peer needs a snapshot, or receives one; told by the leader alone",
        {"peer"}},
       [](const F& f, Values* v) {
         EachPeer(f, v, [](const raft::PeerStatus& peer) {
           return peer.state == raft::PeerStatus::State::kSnapshot;
         });
       }},
  };
}

NodeMetrics Log() {
  return {
      {{"cairn_term", Type::kGauge, "The term of Raft"},
       [](const F& f, Values* v) { v->Add(static_cast<double>(f.status.core.term.value())); }},
      {{"cairn_commit_index", Type::kGauge, "The last entry known to be held by a majority"},
       [](const F& f, Values* v) { Index(f.status.core.commit, v); }},
      {{"cairn_applied_index", Type::kGauge, "The last entry that the database holds"},
       [](const F& f, Values* v) { Index(f.status.core.applied, v); }},
      {{"cairn_log_first_index", Type::kGauge, "The first entry of the log"},
       [](const F& f, Values* v) { Index(f.status.core.first, v); }},
      {{"cairn_log_last_index", Type::kGauge, "The last entry of the log"},
       [](const F& f, Values* v) { Index(f.status.core.last, v); }},
      {{"cairn_log_durable_index", Type::kGauge, "The last entry of the log that is synced"},
       [](const F& f, Values* v) { Index(f.status.core.durable, v); }},
      {{"cairn_database_durable_index", Type::kGauge,
        "The last entry that the file of the database holds after a power cut"},
       [](const F& f, Values* v) { Index(f.status.durable_state, v); }},
      {{"cairn_log_sync_seconds", Type::kHistogram,
        "Time to write and sync what shares one sync of the log"},
       [](const F& f, Values* v) { v->Add(f.counts->log_sync, kNanosecond); }},
      {{"cairn_log_written_bytes_total", Type::kCounter, "Bytes of entries written to the log"},
       [](const F& f, Values* v) {
         v->Add(static_cast<double>(f.counts->log_bytes_written.value()));
       }},
      {{"cairn_feature_level", Type::kGauge, "The feature level of the cluster"},
       [](const F& f, Values* v) { v->Add(static_cast<double>(f.status.level)); }},
      {{"cairn_feature_level_known", Type::kGauge, "The highest feature level this node knows"},
       [](const F& f, Values* v) { v->Add(static_cast<double>(f.status.level_max)); }},
  };
}

NodeMetrics Comparison() {
  return {
      {{"cairn_digests_total", Type::kCounter, "Digests of the whole database that were made"},
       [](const F& f, Values* v) { v->Add(static_cast<double>(f.status.digests.made)); }},
      {{"cairn_digest_right_index", Type::kGauge,
        "The last entry at which this node held what the majority held"},
       [](const F& f, Values* v) { Index(f.status.digests.right_index, v); }},
      {{"cairn_digest_differences_total", Type::kCounter,
        "Comparisons in which members differed; counted by the leader"},
       [](const F& f, Values* v) { v->Add(static_cast<double>(f.status.digests.differences)); }},
      {{"cairn_scrubs_total",
        Type::kCounter,
        "Times that all rows were read and compared",
        {"result"}},
       [](const F& f, Values* v) {
         v->Add(static_cast<double>(f.status.digests.scrubs), {"right"});
         v->Add(static_cast<double>(f.status.digests.scrubs_failed), {"damaged"});
       }},
      {{"cairn_scrub_index", Type::kGauge, "The entry of the last state that a scrub found right"},
       [](const F& f, Values* v) {
         const uint64_t index = f.counts->scrubbed_index.value();
         if (index != 0) v->Add(static_cast<double>(index));
       }},
      {{"cairn_certificate_expiry_timestamp_seconds", Type::kGauge,
        "When the certificate of this node expires, by the Unix epoch; absent without TLS"},
       [](const F& f, Values* v) {
         if (f.certificate_expires_s != 0) v->Add(static_cast<double>(f.certificate_expires_s));
       }},
  };
}

}  // namespace

const NodeMetrics& SafetyMetrics() {
  static const auto* const kMetrics = new NodeMetrics(Joined({Group(), Log(), Comparison()}));
  return *kMetrics;
}

}  // namespace cairn::server
