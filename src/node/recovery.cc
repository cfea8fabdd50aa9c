#include "node/recovery.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace cairn::node {
namespace {

// After a failure that may pass, the database is reopened this many times. Then the leader is asked
// for another database. After a full disk the database is reopened for ever, because a copy needs
// more space.
constexpr uint64_t kFailuresMax = 3;
// Election timeouts between two snapshots, if the first one did not end the trouble.
constexpr uint64_t kSnapshotPauseMin = 10;
constexpr uint64_t kSnapshotPauseMax = 640;

}  // namespace

void Recovery::OnStopped(StatusCode why) {
  ++stops_;
  ++failures_;
  down_ = true;
  if (why == StatusCode::kDataLoss) damaged_ = true;
}

bool Recovery::Enter(const Status& why) {
  if (why != trouble_) {
    LOG_ERROR("this node can not apply the log and is out of service: {}", why.ToString());
  }
  const bool news = trouble_.ok();
  trouble_ = why;
  return news;
}

bool Recovery::Resume() {
  damaged_ = false;
  return std::exchange(down_, false);
}

bool Recovery::MaybeEnd(LogIndex applied) {
  if (in_service() || down_ || applied < return_at_) return false;
  LOG_INFO("applies the log again and is back in service index={}", applied.value());
  trouble_ = OkStatus();
  failures_ = 0;
  snapshot_pause_ticks_ = next_snapshot_tick_ = 0;
  return true;
}

bool Recovery::NeedsAnotherVersion() const { return trouble_.code() == StatusCode::kUnimplemented; }

// Without a peer, nobody can send a snapshot.
bool Recovery::NeedsSnapshot() const {
  if (!down_ || context_.config.info.size() < 2 || NeedsAnotherVersion()) return false;
  return damaged_ ||
         (failures_ >= kFailuresMax && trouble_.code() != StatusCode::kResourceExhausted);
}

void Recovery::OnReplacing(MemberId from) {
  snapshot_from_ = from;
  snapshot_pause_ticks_ =
      std::clamp(2 * snapshot_pause_ticks_, context_.Elections(kSnapshotPauseMin),
                 context_.Elections(kSnapshotPauseMax));
  next_snapshot_tick_ = context_.ticks + snapshot_pause_ticks_;
}

void Recovery::OnLeader(MemberId leader) {
  if (leader != snapshot_from_) snapshot_pause_ticks_ = next_snapshot_tick_ = 0;
}

std::string Recovery::InWords(bool installing) const {
  std::string words = "this node has stopped applying: " + trouble_.message();
  if (NeedsAnotherVersion()) return words;
  if (!down_) return words + "; it catches up again";
  if (installing) return words + "; a snapshot is being installed";
  if (NeedsSnapshot()) return words + "; it waits for a snapshot from the leader";
  if (damaged_) return words + "; there is no other node to get a copy of the data from";
  return words + "; it is tried again";
}

}  // namespace cairn::node
