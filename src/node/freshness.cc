#include "node/freshness.h"

#include <algorithm>
#include <chrono>

#include "raft/quorum.h"

namespace cairn::node {
namespace {

// A follower that applies slowly gets new points faster than it uses them up. The newest point then
// replaces the one before, so that the points that are used up soon stay.
constexpr size_t kPointsMax = 64;

}  // namespace

SteadyTime Freshness::now() const { return context_.clock->BootNow(); }

Freshness::Peer* Freshness::PeerIn(MemberId member, Term term) {
  const Term present = context_.raft->term();
  if (term != present) return nullptr;
  if (term_ != present) {
    term_ = present;
    peers_.clear();
  }
  return &peers_[member];
}

std::optional<SteadyTime> Freshness::NoteTiming(Peer* peer, const raft::Timing& timing) {
  peer->sent = timing.sent;
  // The message answers no question, or a question that this node asked before it was restarted, by
  // a clock that may have restarted as well.
  if (timing.answers.life != life_) return std::nullopt;
  const auto asked = SteadyTime(static_cast<int64_t>(timing.answers.time_ns));
  peer->answered = std::max(peer->answered, asked);
  return asked;
}

void Freshness::OnMessage(const raft::Message& message) {
  const auto* heartbeat = std::get_if<raft::Heartbeat>(&message.body);
  const auto* reply = std::get_if<raft::HeartbeatReply>(&message.body);
  if (heartbeat == nullptr && reply == nullptr) return;
  Peer* peer = PeerIn(message.from, message.term);
  if (peer == nullptr) return;
  if (heartbeat != nullptr) {
    OnHeartbeat(peer, *heartbeat);
  } else {
    NoteTiming(peer, reply->timing);
  }
}

void Freshness::OnHeartbeat(Peer* peer, const raft::Heartbeat& heartbeat) {
  const auto asked = NoteTiming(peer, heartbeat.timing);
  if (heartbeat.fresh_index.is_none() || !asked) return;
  const auto age = SteadyTime(static_cast<int64_t>(heartbeat.fresh_age_ns));
  Add({heartbeat.fresh_index, *asked - age});
}

void Freshness::OnTick() {
  if (const auto as_of = QuorumAsOf(now())) Add({context_.raft->commit(), *as_of});
}

void Freshness::Add(Point point) {
  if (as_of_ && point.as_of <= *as_of_) return;
  while (!points_.empty() && points_.back().index >= point.index) {
    if (points_.back().as_of > point.as_of) break;
    points_.pop_back();
  }
  if (!points_.empty() && points_.back().as_of >= point.as_of) return;
  if (points_.size() >= kPointsMax) points_.pop_back();
  points_.push_back(point);
  Settle();
}

void Freshness::Settle() {
  while (!points_.empty() && points_.front().index <= applied_) {
    as_of_ = points_.front().as_of;
    points_.pop_front();
  }
}

void Freshness::OnApplied(LogIndex applied) {
  applied_ = applied;
  Settle();
}

void Freshness::OnStateReplaced(LogIndex applied) {
  applied_ = applied;
  as_of_.reset();
  points_.clear();
}

std::optional<SteadyTime> Freshness::QuorumAsOf(SteadyTime now) const {
  // Before an entry of its own term is committed, a leader does not know what is committed.
  if (!context_.is_leader() || !context_.raft->leader_ready()) return std::nullopt;
  const auto answered = [&](MemberId member) -> uint64_t {
    if (member == context_.self) return static_cast<uint64_t>(now.count());
    const auto peer = peers_.find(member);
    const bool known = peer != peers_.end() && term_ == context_.raft->term();
    return known ? static_cast<uint64_t>(peer->second.answered.count()) : 0;
  };
  const auto as_of = raft::QuorumReached<uint64_t>(context_.raft->config(), answered);
  if (as_of == 0) return std::nullopt;
  return SteadyTime(static_cast<int64_t>(as_of));
}

void Freshness::Stamp(std::vector<raft::Message>* messages) {
  for (raft::Message& message : *messages) {
    auto* heartbeat = std::get_if<raft::Heartbeat>(&message.body);
    auto* reply = std::get_if<raft::HeartbeatReply>(&message.body);
    if (heartbeat == nullptr && reply == nullptr) continue;
    const SteadyTime sent = now();
    raft::Timing& timing = heartbeat != nullptr ? heartbeat->timing : reply->timing;
    timing.sent = {life_, static_cast<uint64_t>(sent.count())};
    if (const Peer* peer = PeerIn(message.to, message.term)) timing.answers = peer->sent;
    if (heartbeat == nullptr) continue;
    if (const auto as_of = QuorumAsOf(sent)) {
      heartbeat->fresh_index = context_.raft->commit();
      heartbeat->fresh_age_ns = static_cast<uint64_t>((sent - *as_of).count());
    }
  }
}

std::optional<SteadyTime> Freshness::Age() {
  OnTick();
  return age();
}

std::optional<SteadyTime> Freshness::age() const {
  if (!as_of_) return std::nullopt;
  return now() - *as_of_;
}

}  // namespace cairn::node
