#include "node/snapshot_install.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/log.h"

namespace cairn::node {

const ReceivedSnapshot* SnapshotInstall::file() const {
  return std::visit(
      [](const auto& stage) -> const ReceivedSnapshot* {
        if constexpr (std::is_same_v<decltype(stage), const None&>) {
          return nullptr;
        } else {
          return &stage.file;
        }
      },
      stage_);
}

bool SnapshotInstall::Holds(const std::string& path) const {
  return file() != nullptr && file()->path == path;
}

void SnapshotInstall::Keep(ReceivedSnapshot file) {
  CHECK(!busy());
  stage_ = Kept{std::move(file)};
  Offer();
}

// A snapshot is committed state, whoever sent it. But an offer speaks for the leader of the present
// term, so without a leader the file waits.
void SnapshotInstall::Offer() {
  auto* kept = std::get_if<Kept>(&stage_);
  if (kept == nullptr || kept->offered || context_.raft->leader().is_none()) return;
  if (context_.is_leader()) return Discard();
  if (wanted_ && *wanted_ == kept->file.meta) return Propose();
  if (wanted_) {
    // Another snapshot has come in the place of the announced one.
    context_.raft->Step(raft::SnapshotFailed{});
    wanted_.reset();
  }
  kept->offered = true;
  raft::Message offer;
  offer.from = context_.raft->leader();
  offer.to = context_.self;
  offer.term = context_.raft->term();
  offer.body = raft::SnapshotOffer{kept->file.meta};
  context_.raft->Step(raft::Received{std::move(offer)});
}

void SnapshotInstall::Discard() {
  context_.effects->RemoveFile(file()->path);
  stage_ = None{};
}

void SnapshotInstall::OnWanted(const raft::SnapshotMeta& meta) {
  wanted_ = meta;
  const auto* kept = std::get_if<Kept>(&stage_);
  if (kept != nullptr && kept->file.meta == meta) Propose();
}

void SnapshotInstall::Propose() {
  ReceivedSnapshot file = std::move(std::get<Kept>(stage_).file);
  LOG_INFO("installing a snapshot index={} term={}", file.meta.index.value(),
           file.meta.term.value());
  wanted_.reset();
  const raft::SnapshotMeta meta = file.meta;
  stage_ = Proposed{std::move(file)};
  context_.raft->Step(raft::SnapshotReady{meta});
}

// The first output after SnapshotReady holds the reset of the log, or the Raft core does not want
// the snapshot any more.
void SnapshotInstall::CheckOutput(const raft::Output* output) {
  if (const auto* kept = std::get_if<Kept>(&stage_)) {
    // The Raft core answers an offer by asking for the file, or not.
    if (kept->offered && !(output && output->install_snapshot)) Discard();
    return;
  }
  auto* proposed = std::get_if<Proposed>(&stage_);
  if (proposed == nullptr) return;
  const auto resets = [](const raft::Persist& persist) { return persist.reset_to.has_value(); };
  if (output && std::any_of(output->persists.begin(), output->persists.end(), resets)) {
    ReceivedSnapshot file = std::move(proposed->file);
    stage_ = Accepted{std::move(file)};
    return;
  }
  LOG_INFO("the snapshot is not needed any more index={}", proposed->file.meta.index.value());
  Discard();
}

// The file comes first, then the log. When the node opens its data, a file ahead of the log means
// an interrupted install. A log that was reset ahead of the file would have lost the state between
// them.
bool SnapshotInstall::Hold(raft::Persist* persist) {
  if (held_.empty() && !(installing() && persist->reset_to)) return false;
  held_.push_back(std::move(*persist));
  return true;
}

// The install begins only when all earlier batches are durable. A crash after the install leaves a
// database that is ahead of the log. That must mean an interrupted install over a log that knows
// its votes.
void SnapshotInstall::MaybeStart(bool log_idle) {
  auto* accepted = std::get_if<Accepted>(&stage_);
  if (accepted == nullptr || held_.empty() || !log_idle) return;
  ReceivedSnapshot file = std::move(accepted->file);
  context_.effects->InstallSnapshot(file.path, file.meta);
  stage_ = Installing{std::move(file)};
}

void SnapshotInstall::Replace(ReceivedSnapshot file) {
  CHECK(!busy());
  LOG_INFO("replacing the database by a snapshot index={} term={}", file.meta.index.value(),
           file.meta.term.value());
  context_.effects->InstallSnapshot(file.path, file.meta);
  stage_ = Installing{std::move(file)};
}

void SnapshotInstall::Abandon() {
  if (!std::holds_alternative<Kept>(stage_)) return;
  context_.raft->Step(raft::SnapshotFailed{});
  wanted_.reset();
  Discard();
}

ReceivedSnapshot SnapshotInstall::OnInstalled() {
  CHECK(std::holds_alternative<Installing>(stage_));
  ReceivedSnapshot file = std::move(std::get<Installing>(stage_).file);
  stage_ = None{};
  return file;
}

}  // namespace cairn::node
