#include "node/peer_directory.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace cairn::node {
namespace {

// How long this node still talks to a removed member, so that the member learns of its removal.
constexpr uint64_t kLingerElections = 30;

}  // namespace

void PeerDirectory::Start(raft::Configuration admitted_by) {
  admitted_by_ = std::move(admitted_by);
  Publish();
}

void PeerDirectory::Publish() {
  published_callers_ = callers_.version();
  transport::Peers peers;
  const auto add = [&](MemberId member, uint64_t node_id, const std::string& address) {
    transport::Peer& peer = peers[member];
    peer.node_id = node_id;
    if (std::find(peer.addresses.begin(), peer.addresses.end(), address) == peer.addresses.end()) {
      peer.addresses.push_back(address);
    }
  };
  const raft::Configuration& config = context_.config;
  for (const auto& [id, caller] : callers_.known()) {
    // Members that only later configurations name must be answered, too (OnCaller).
    if (config.Contains(id) || id.value() >= config.next_member_id) {
      add(id, caller.node_id, caller.address);
    }
  }
  for (const auto& [id, info] : config.info) add(id, info.node_id, info.address);
  for (const auto& [id, leaving] : leaving_) add(id, leaving.node_id, leaving.address);
  if (!config.Contains(context_.self)) {
    // This node was let in, but has not caught up to its own admission yet. The configuration in
    // force here may be older than the leader. What the leader told on admission is newer.
    for (const auto& [id, info] : admitted_by_.info) add(id, info.node_id, info.address);
  }
  for (const auto& [id, info] : config.info) {
    const auto listed = context_.options.listed_peers.find(info.node_id);
    if (listed != context_.options.listed_peers.end()) {
      add(id, info.node_id, listed->second);
    }
  }
  peers.erase(context_.self);
  if (context_.silent) peers.clear();
  context_.effects->SetPeers(peers);
}

bool PeerDirectory::Adopt(const raft::Configuration& config, LogIndex index) {
  if (config.info.empty() || index < context_.config_index) return false;
  if (index == context_.config_index && config == context_.config) return false;
  LOG_INFO("configuration in force index={} voters={} learners={} joint={}", index.value(),
           config.voters.size(), config.learners.size(), config.joint());
  for (const auto& [id, info] : context_.config.info) {
    if (config.Contains(id)) continue;
    leaving_[id] = {info.node_id, info.address,
                    context_.ticks + context_.Elections(kLingerElections)};
  }
  context_.config = config;
  context_.config_index = index;
  ++context_.version;
  Publish();
  return true;
}

// A node that was away while others were let in must answer them, though no configuration that it
// knows names them. The bad schedule without this: node 4 is let in while node 3 is down, and leads
// when node 3 comes back. Node 4 probes where the log of node 3 ends. Node 3 refuses, as it should,
// and has no address to send the refusal to. So node 3 never catches up, and its vote is lost to
// everybody as well.
void PeerDirectory::OnCaller() {
  if (context_.raft && callers_.version() != published_callers_) {
    ++context_.version;
    Publish();
  }
}

void PeerDirectory::OnTick() {
  const size_t gone = std::erase_if(
      leaving_, [this](const auto& item) { return item.second.until_tick <= context_.ticks; });
  if (gone > 0) Publish();
  OnCaller();  // a configuration may have shown that a caller is behind
}

std::optional<LeaderHint> PeerDirectory::leader_hint() const {
  if (!context_.raft || context_.raft->leader().is_none()) return std::nullopt;
  const MemberId leader = context_.raft->leader();
  const auto known = callers_.known();
  for (const raft::Configuration* config : {&std::as_const(context_.config), &admitted_by_}) {
    const auto it = config->info.find(leader);
    if (it == config->info.end()) continue;
    const auto caller = known.find(leader);
    return LeaderHint{it->second.node_id,
                      caller == known.end() ? it->second.address : caller->second.address};
  }
  return std::nullopt;
}

Status PeerDirectory::NotLeader() const {
  Status status = Unavailable("this node is not the leader").With(Outcome::kNotApplied);
  if (const auto hint = leader_hint()) return std::move(status).With(*hint);
  return status;
}

}  // namespace cairn::node
