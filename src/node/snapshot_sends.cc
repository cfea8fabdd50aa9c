#include "node/snapshot_sends.h"

#include <algorithm>

#include "base/log.h"

namespace cairn::node {
namespace {

// The pause after a transfer that failed. It doubles with each failure in a row.
constexpr SteadyTime kPauseMin = std::chrono::milliseconds(250);
constexpr SteadyTime kPauseMax = std::chrono::seconds(16);
constexpr SteadyTime kForgotten = std::chrono::minutes(1);
// A transfer without progress holds the log back for this long. With progress it holds the log back
// up to this many times its limit, and as much more as the snapshot has bytes.
constexpr SteadyTime kPinPatience = std::chrono::seconds(30);
constexpr uint64_t kPinnedLogLimits = 8;

}  // namespace

void SnapshotSends::Start(MemberId peer, LogIndex index_min) {
  // If this node led before, its transfer to that peer may still run. The Raft core hears of it
  // when the transfer ends.
  const auto running = transfers_.find(peer);
  if (running != transfers_.end() && running->second.stage == Transfer::Stage::kRunning) return;
  transfers_[peer] = {index_min, 0, context_.now(), Transfer::Stage::kRunning};
  LOG_INFO("sending a snapshot member={} index_min={}", peer.value(), index_min.value());
  context_.effects->StreamSnapshot(context_.self, peer, index_min);
}

void SnapshotSends::OnProgress(MemberId to, LogIndex index, uint64_t snapshot_bytes) {
  const auto transfer = transfers_.find(to);
  // News of a transfer that has ended does not make it run again: it would never end, and the peer
  // would get no other snapshot.
  if (transfer == transfers_.end() || transfer->second.stage != Transfer::Stage::kRunning) return;
  transfer->second = {index, snapshot_bytes, context_.now(), Transfer::Stage::kRunning};
}

bool SnapshotSends::Over(const raft::CoreStatus& core, MemberId peer, const Transfer& transfer,
                         SteadyTime now) {
  if (transfer.stage == Transfer::Stage::kRunning) return false;
  if (now - transfer.progress > kPinPatience) return true;
  if (transfer.stage == Transfer::Stage::kBroken) return false;
  const auto known = core.peers.find(peer);
  return known == core.peers.end() || known->second.match >= core.commit;
}

// A snapshot is of use only if the log still holds what follows it, from its arrival until the peer
// has caught up. Otherwise a peer on a slow line would be sent one snapshot after the other while
// clients write. But a peer that makes no progress does not hold the log, and none does once
// another snapshot would be the cheaper way.
std::optional<LogIndex> SnapshotSends::Pinned(uint64_t log_bytes) {
  if (transfers_.empty()) return std::nullopt;
  const SteadyTime now = context_.now();
  const raft::CoreStatus core = context_.raft->status();
  std::erase_if(transfers_,
                [&](const auto& item) { return Over(core, item.first, item.second, now); });
  std::optional<LogIndex> pinned;
  for (auto& [peer, transfer] : transfers_) {
    const bool arrived = transfer.stage == Transfer::Stage::kArrived;
    if (arrived && core.peers.at(peer).match > transfer.pinned) {
      transfer.pinned = core.peers.at(peer).match;
      transfer.progress = now;
    }
    const bool making = transfer.bytes == 0 && transfer.stage == Transfer::Stage::kRunning;
    const bool alive = making || now - transfer.progress <= kPinPatience;
    const uint64_t bytes_max = kPinnedLogLimits * context_.options.log_bytes_max + transfer.bytes;
    if (alive && log_bytes <= bytes_max) {
      pinned = pinned ? std::min(*pinned, transfer.pinned) : transfer.pinned;
    }
  }
  return pinned;
}

void SnapshotSends::OnSent(MemberId to, const Status& status, LogIndex index) {
  if (status.ok()) {
    Transfer& transfer = transfers_[to];
    transfer = {index, transfer.bytes, context_.now(), Transfer::Stage::kArrived};
    LOG_INFO("snapshot sent member={} index={}", to.value(), index.value());
    context_.options.counts->snapshots_sent.Add();
    failures_.erase(to);
    context_.raft->Step(raft::SnapshotSent{to, true, index});
    return;
  }
  LOG_WARN("snapshot not sent member={}: {}", to.value(), status.message());
  context_.options.counts->snapshots_not_sent.Add();
  if (const auto transfer = transfers_.find(to); transfer != transfers_.end()) {
    transfer->second.stage = Transfer::Stage::kBroken;
  }
  Failure& failure = failures_[to];
  failure.pause = std::clamp(2 * failure.pause, kPauseMin, kPauseMax);
  failure.until = context_.now() + failure.pause;
  failure.reported = false;
  failure.why = status;
}

std::string SnapshotSends::TroubleInWords() const {
  for (const auto& [to, failure] : failures_) {
    if (failure.why.code() != StatusCode::kResourceExhausted) continue;
    return "member " + ToString(to) +
           " needs a snapshot, which is attempted again and again: " + failure.why.message();
  }
  return {};
}

// The Raft core orders another snapshot as soon as it hears of a failure. A peer whose disk is full
// refuses each one, after a copy of the database was made for it. So the Raft core hears of the
// failure late.
void SnapshotSends::OnTick() {
  const SteadyTime now = context_.now();
  for (auto& [to, failure] : failures_) {
    if (failure.reported || failure.until > now) continue;
    failure.reported = true;
    context_.raft->Step(raft::SnapshotSent{to, false, LogIndex()});
  }
  std::erase_if(failures_, [&](const auto& item) { return item.second.until + kForgotten <= now; });
}

}  // namespace cairn::node
