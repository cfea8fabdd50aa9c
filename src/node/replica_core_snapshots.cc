// Snapshots: sending one to a peer that the log can not help any more, and taking one in.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "node/replica_core.h"

namespace cairn::node {
namespace {

// After a transfer that failed; doubled with each in a row.
constexpr SteadyTime kSendPauseMin = std::chrono::milliseconds(250);
constexpr SteadyTime kSendPauseMax = std::chrono::seconds(16);
constexpr SteadyTime kSendForgotten = std::chrono::minutes(1);
// A snapshot holds the log back for so long without any progress, and to so many times its limit
// and as much more as the snapshot has bytes.
constexpr SteadyTime kPinPatience = std::chrono::seconds(30);
constexpr uint64_t kPinnedLogLimits = 8;

}  // namespace

// ---- Sending

void ReplicaCore::StartSnapshot(MemberId peer, LogIndex index_min) {
  // This node led before, and its transfer to that peer goes on: the core hears of it at its end.
  const auto running = sending_.find(peer);
  if (running != sending_.end() && running->second.stage == SnapshotSend::Stage::kRunning) return;
  sending_[peer] = {index_min, 0, clock_->SteadyNow(), SnapshotSend::Stage::kRunning};
  LOG_INFO("sending a snapshot member={} index_min={}", peer.value(), index_min.value());
  effects_->StreamSnapshot(boot_.record().member, peer, index_min);
}

void ReplicaCore::OnSnapshotProgress(MemberId to, LogIndex index, uint64_t snapshot_bytes) {
  const auto send = sending_.find(to);
  if (send == sending_.end()) return;
  send->second = {index, snapshot_bytes, clock_->SteadyNow(), SnapshotSend::Stage::kRunning};
}

// How far the log may go, for snapshots under way: each is of use only if the log still holds what
// comes after it when it arrives, and until the peer has caught up from there; else a peer on a
// slow line would be sent one after the other while others write. But a peer that gets nothing done
// does not hold the log, and none does once another snapshot would be the cheaper way.
std::optional<LogIndex> ReplicaCore::PinnedBySnapshots() {
  if (sending_.empty() || free_bytes_low_) return std::nullopt;
  const SteadyTime now = clock_->SteadyNow();
  const raft::CoreStatus core = raft_->status();
  std::optional<LogIndex> pinned;
  for (auto it = sending_.begin(); it != sending_.end();) {
    SnapshotSend& send = it->second;
    if (send.stage == SnapshotSend::Stage::kBroken && now - send.progress > kPinPatience) {
      it = sending_.erase(it);
      continue;
    }
    if (send.stage == SnapshotSend::Stage::kArrived) {
      const auto peer = core.peers.find(it->first);
      const bool caught_up = peer == core.peers.end() || peer->second.match >= core.commit;
      if (caught_up || now - send.progress > kPinPatience) {
        it = sending_.erase(it);
        continue;
      }
      if (peer->second.match > send.pinned) {
        send.pinned = peer->second.match;
        send.progress = now;
      }
    }
    const bool making = send.bytes == 0 && send.stage == SnapshotSend::Stage::kRunning;
    const bool alive = making || now - send.progress <= kPinPatience;
    const uint64_t bytes_max = kPinnedLogLimits * options_.log_bytes_max + send.bytes;
    if (alive && extent_.bytes() <= bytes_max) {
      pinned = pinned ? std::min(*pinned, send.pinned) : send.pinned;
    }
    ++it;
  }
  return pinned;
}

void ReplicaCore::OnSnapshotSent(MemberId to, const Status& status, LogIndex index) {
  if (status.ok()) {
    sending_[to] = {index, 0, clock_->SteadyNow(), SnapshotSend::Stage::kArrived};
    LOG_INFO("snapshot sent member={} index={}", to.value(), index.value());
    failed_sends_.erase(to);
    raft_->Step(raft::SnapshotSent{to, true, index});
    return;
  }
  LOG_WARN("snapshot not sent member={}: {}", to.value(), status.message());
  if (const auto send = sending_.find(to); send != sending_.end()) {
    send->second.stage = SnapshotSend::Stage::kBroken;
  }
  FailedSend& failed = failed_sends_[to];
  failed.pause = std::clamp(2 * failed.pause, kSendPauseMin, kSendPauseMax);
  failed.until = clock_->SteadyNow() + failed.pause;
  failed.reported = false;
}

// The Raft core sends another as soon as it hears of a failure. A peer whose disk is full refuses
// each, after a copy of the database was made for it: so it hears late.
void ReplicaCore::ReportFailedSends(SteadyTime now) {
  for (auto& [to, failed] : failed_sends_) {
    if (failed.reported || failed.until > now) continue;
    failed.reported = true;
    raft_->Step(raft::SnapshotSent{to, false, LogIndex()});
  }
  std::erase_if(failed_sends_,
                [&](const auto& send) { return send.second.until + kSendForgotten <= now; });
}

// ---- Receiving

void ReplicaCore::OnSnapshotReceived(MemberId from, const raft::SnapshotMeta& meta,
                                     const std::string& path) {
  // Files are named by what they hold: the same snapshot, sent twice, is the same file.
  if (received_ && received_->path == path) return;
  if (installing_ && installing_->path == path) return;
  if (!raft_ || installing_ || received_ || meta.index < snapshot_min()) {
    effects_->RemoveFile(path);
    return;
  }
  if (WantsSnapshot()) return BeginRecoveryInstall({from, meta, path});
  received_ = ReceivedSnapshot{from, meta, path};
  OfferReceived();
}

// Tells the core of the file that lies ready. A snapshot is committed state, whoever sent it; but
// an offer speaks for the leader of our present term, so without one it waits.
void ReplicaCore::OfferReceived() {
  if (!received_ || offered_ || raft_->leader().is_none()) return;
  if (is_leader()) return DiscardReceived();
  if (install_wanted_ && *install_wanted_ == received_->meta) return BeginInstall();
  if (install_wanted_) {
    // Another one has come in the place of the one that was announced.
    raft_->Step(raft::SnapshotFailed{});
    install_wanted_.reset();
  }
  offered_ = true;
  raft::Message offer;
  offer.from = raft_->leader();
  offer.to = boot_.record().member;
  offer.term = raft_->term();
  offer.body = raft::SnapshotOffer{received_->meta};
  raft_->Step(raft::Received{std::move(offer)});
}

void ReplicaCore::DiscardReceived() {
  effects_->RemoveFile(received_->path);
  received_.reset();
  offered_ = false;
}

void ReplicaCore::OnInstallWanted(const raft::SnapshotMeta& meta) {
  install_wanted_ = meta;
  if (received_ && received_->meta == meta) BeginInstall();
}

void ReplicaCore::BeginInstall() {
  LOG_INFO("installing a snapshot index={} term={}", received_->meta.index.value(),
           received_->meta.term.value());
  installing_ = *std::exchange(received_, std::nullopt);
  offered_ = false;
  install_wanted_.reset();
  reset_expected_ = true;
  raft_->Step(raft::SnapshotReady{installing_->meta});
}

// Called with each output of the core, before it is routed (null: there was none): the first after
// SnapshotReady holds the reset of the log, or the core did not want the snapshot any more.
void ReplicaCore::CheckInstallAccepted(const raft::Output* output) {
  if (!reset_expected_) {
    // The core answered an offer by not asking for the file.
    if (received_ && offered_ && !(output && output->install_snapshot)) DiscardReceived();
    return;
  }
  reset_expected_ = false;
  if (output != nullptr) {
    for (const raft::Persist& persist : output->persists) {
      if (persist.reset_to) return;
    }
  }
  LOG_INFO("the snapshot is not needed any more index={}", installing_->meta.index.value());
  effects_->RemoveFile(installing_->path);
  installing_.reset();
}

// The install begins only when all earlier batches are durable: that the database is ahead of the
// log must, after a crash, mean an interrupted install over a log that knows its votes.
void ReplicaCore::MaybeStartInstall() {
  if (!installing_ || install_started_ || held_persists_.empty()) return;
  if (!in_flight_persists_.empty()) return;
  install_started_ = true;
  effects_->InstallSnapshot(installing_->path, installing_->meta);
}

void ReplicaCore::OnInstalled(const Status& status, const AppliedReport& report, LogIndex durable) {
  CHECK(installing_.has_value());
  const ReceivedSnapshot installed = *std::exchange(installing_, std::nullopt);
  install_started_ = false;
  if (!status.ok()) {
    // The file was sound when the core was told of it, and is not what it was: its disk rots. Of
    // what the core has begun with in memory nothing was written (held_persists_), and it is not
    // before a snapshot that reaches as far is in its place. A restart finds log and database as
    // they were.
    effects_->RemoveFile(installed.path);
    damaged_ = true;
    return OnApplyStopped(Status(status).Prefixed("installing a snapshot"));
  }
  LOG_INFO("snapshot installed index={}", installed.meta.index.value());
  durable_state_ = durable;
  replaced_at_ = installed.meta.index;
  Resume(installed.meta, report);
}

}  // namespace cairn::node
