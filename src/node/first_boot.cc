#include "node/first_boot.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace cairn::node {

using transport::LifeStage;
using transport::ProbeReply;

FirstBoot::FirstBoot(FirstBootOptions options, IdentityRecord record, Rng* rng)
    : options_(std::move(options)), record_(std::move(record)), rng_(rng) {
  if (started()) return;
  if (options_.listed_peers.size() <= 1) {
    // A node alone has nobody to agree with.
    if (record_.cluster_id == 0) record_.cluster_id = NewClusterId();
    StartTogether();
    return;
  }
  OnTick(0);
}

void FirstBoot::OnTick(uint64_t ticks) {
  if (started() || persisting_) return;
  join_wait_ -= std::min(join_wait_, ticks);
  probe_wait_ -= std::min(probe_wait_, ticks);
  if (probe_wait_ == 0) {
    probe_interval_ =
        std::clamp(2 * probe_interval_, options_.probe_ticks_min, options_.probe_ticks_max);
    probe_wait_ = probe_interval_;
    for (const auto& [id, address] : options_.listed_peers) {
      if (id != record_.node_id) requests_.probes.push_back({id, address});
    }
  }
  Decide();
}

void FirstBoot::OnProbed(uint64_t node_id, Result<ProbeReply> reply) {
  if (started() || !options_.listed_peers.contains(node_id)) return;
  if (!reply.ok()) {
    // What the peer said before does not count any more: the peer may have been wiped since.
    replies_.erase(node_id);
  } else {
    NoteNonces(node_id, *reply);
    const auto before = replies_.find(node_id);
    if (before == replies_.end() || before->second.stage != reply->stage) probe_interval_ = 0;
    replies_[node_id] = std::move(reply).value();
  }
  if (!persisting_) Decide();
}

// A founder that is late starts on the word of one peer that takes part already, and may not have
// heard the others. The first founder that took part has heard all, and the founders that followed
// it know what it knew. The bad schedule otherwise: the late founder leads, and writes down that it
// does not know who node 2 is. Node 2 is refused as a stranger when it moves later.
void FirstBoot::NoteNonces(uint64_t node_id, const ProbeReply& reply) {
  const transport::Identity& identity = reply.identity;
  // A node that was let in again, after a wipe, is another member than the founder.
  const bool founder = reply.stage == LifeStage::kFounding ||
                       (reply.stage == LifeStage::kStarted && identity.member == MemberId(node_id));
  if (founder && identity.node_id == node_id) founder_nonces_[node_id] = identity.nonce;
  if (reply.stage != LifeStage::kStarted) return;
  for (const auto& [id, info] : reply.config.info) {
    if (id == MemberId(info.node_id) && info.nonce != 0) founder_nonces_[info.node_id] = info.nonce;
  }
}

void FirstBoot::OnPersisted() {
  CHECK(persisting_.has_value());
  record_ = *std::exchange(persisting_, std::nullopt);
  // The answers were about the last step. The next step may rest only on fresh answers, which cost
  // a round trip.
  replies_.clear();
  waiting_for_.clear();
  probe_wait_ = 0;
  probe_interval_ = 0;
  OnTick(0);
}

FirstBoot::Requests FirstBoot::TakeRequests() { return std::exchange(requests_, Requests{}); }

void FirstBoot::Decide() {
  if (record_.stage == LifeStage::kEmpty) {
    DecideEmpty();
  } else {
    DecideFounding();
  }
}

std::optional<std::string> FirstBoot::Contradiction() const {
  std::optional<uint64_t> cluster_id;
  if (record_.cluster_id != 0) {
    cluster_id = record_.cluster_id;
  } else if (options_.cluster_id != 0) {
    cluster_id = options_.cluster_id;
  }
  for (const auto& [id, reply] : replies_) {
    const std::string& address = options_.listed_peers.at(id);
    const std::string who = "node " + std::to_string(id) + " (" + address + ")";
    if (reply.identity.node_id != id) {
      return "the process at " + address + " is node " + std::to_string(reply.identity.node_id) +
             ", but --peers says it is node " + std::to_string(id);
    }
    if (reply.identity.engine.machine != options_.engine.machine) {
      return who + " runs on another kind of machine (" + reply.identity.engine.machine +
             "; ours is " + options_.engine.machine + ")";
    }
    if (reply.stage == LifeStage::kEmpty) continue;
    if (cluster_id && *cluster_id != reply.identity.cluster_id) {
      return who + " belongs to another cluster (" + ClusterIdText(reply.identity.cluster_id) +
             ", not " + ClusterIdText(*cluster_id) + ")";
    }
    cluster_id = reply.identity.cluster_id;
  }
  return std::nullopt;
}

std::optional<std::string> FirstBoot::MissingAnswer() const {
  for (const auto& [id, address] : options_.listed_peers) {
    if (id == record_.node_id) continue;
    const std::string who = "node " + std::to_string(id) + " (" + address + ")";
    const auto it = replies_.find(id);
    if (it == replies_.end()) return "an answer of " + who;
    if (it->second.listed_peers != options_.listed_peers) {
      return who + " to be started with the same --peers as this node";
    }
  }
  return std::nullopt;
}

void FirstBoot::DecideEmpty() {
  if (auto why = Contradiction()) {
    waiting_for_ = "the operator: " + *why;
    return;
  }
  for (const auto& [id, reply] : replies_) {
    if (reply.stage == LifeStage::kStarted) {
      return AskToJoin();
    }
  }
  if (options_.joins_only) {
    waiting_for_ =
        "a node of --peers that is a member of the cluster: this node was one before, and "
        "founds none";
    return;
  }
  if (auto missing = MissingAnswer()) {
    waiting_for_ = *missing;
    return;
  }
  for (const auto& [id, reply] : replies_) {
    if (reply.stage == LifeStage::kFounding) return Found(reply.identity.cluster_id);
  }
  const uint64_t lowest = options_.listed_peers.begin()->first;
  if (lowest != record_.node_id) {
    waiting_for_ = "node " + std::to_string(lowest) + " to name the cluster";
    return;
  }
  Found(NewClusterId());
}

void FirstBoot::DecideFounding() {
  if (auto why = Contradiction()) {
    waiting_for_ = "the operator: " + *why;
    return;
  }
  for (const auto& [id, reply] : replies_) {
    // That peer has seen all founders founding, also this one.
    if (reply.stage == LifeStage::kStarted) return StartTogether();
  }
  if (auto missing = MissingAnswer()) {
    waiting_for_ = *missing;
    return;
  }
  for (const auto& [id, reply] : replies_) {
    if (reply.stage == LifeStage::kEmpty) {
      waiting_for_ = "node " + std::to_string(id) + " to join the founding";
      return;
    }
  }
  StartTogether();
}

uint64_t FirstBoot::NewClusterId() {
  uint64_t cluster_id = options_.cluster_id;
  while (cluster_id == 0) cluster_id = rng_->Next();
  return cluster_id;
}

void FirstBoot::Found(uint64_t cluster_id) {
  IdentityRecord next = record_;
  next.stage = LifeStage::kFounding;
  next.cluster_id = cluster_id;
  Persist(std::move(next));
}

void FirstBoot::StartTogether() {
  IdentityRecord next = record_;
  next.stage = LifeStage::kStarted;
  next.member = MemberId(record_.node_id);
  std::map<uint64_t, std::string> founders = options_.listed_peers;
  founders[record_.node_id] = options_.address;
  raft::Configuration& config = next.config;
  config = raft::Configuration{};
  for (const auto& [id, address] : founders) {
    // The nonce of a founder that was never heard stays 0. A node that claims to be this founder
    // later is then taken for a wiped one.
    const auto nonce = founder_nonces_.find(id);
    config.voters.insert(MemberId(id));
    config.info[MemberId(id)] =
        raft::MemberInfo{id, address, nonce == founder_nonces_.end() ? 0 : nonce->second};
    config.next_member_id = std::max(config.next_member_id, id + 1);
  }
  config.info[next.member].nonce = record_.nonce;
  Persist(std::move(next));
}

void FirstBoot::AskToJoin() {
  if (waiting_for_.empty()) waiting_for_ = "the leader to admit this node";
  if (joining_ || join_wait_ > 0) return;
  std::string address = std::exchange(join_address_, "");
  for (const auto& [id, reply] : replies_) {
    if (reply.stage != LifeStage::kStarted || !address.empty()) continue;
    if (!reply.leader_address.empty()) address = reply.leader_address;
  }
  if (address.empty()) {
    waiting_for_ = "the running cluster to have a leader, to ask to be let in";
    return;
  }
  joining_ = true;
  requests_.join = address;
}

void FirstBoot::OnJoined(Result<transport::JoinReply> reply) {
  joining_ = false;
  if (started() || persisting_) return;
  if (!reply.ok()) {
    waiting_for_ = "the leader to admit this node: " + reply.status().message();
    if (const auto& hint = reply.status().leader_hint(); hint && !hint->address.empty()) {
      join_address_ = hint->address;
    }
    join_backoff_ =
        std::clamp<uint64_t>(join_backoff_ * 2, options_.probe_ticks_min, options_.join_ticks_max);
    join_wait_ = join_backoff_;
    return;
  }
  IdentityRecord next = record_;
  next.stage = LifeStage::kStarted;
  next.cluster_id = reply->cluster_id;
  next.member = reply->member;
  next.config = std::move(reply->config);
  Persist(std::move(next));
}

void FirstBoot::Persist(IdentityRecord next) {
  persisting_ = next;
  requests_.persist = std::move(next);
}

}  // namespace cairn::node
