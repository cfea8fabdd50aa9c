// SnapshotPace: how a transfer of a snapshot gives way to writes.
//
// A snapshot takes processor, disk and network from the writes beside it. A transfer that takes all
// it can get doubles the latency of writes while it lasts. So the transfer waits before a piece if a
// write is under way at that moment: a busy leader sends slowly, an idle one at full speed, and one
// with few writes hardly waits, because most of its moments have no write.
#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <utility>

#include "base/clock.h"
#include "base/mutex.h"

namespace cairn::node {

// Thread-safe, and shared by all transfers of a node.
class SnapshotPace {
 public:
  // `writes_under_way` may be called on any thread.
  explicit SnapshotPace(std::function<bool()> writes_under_way)
      : writes_under_way_(std::move(writes_under_way)) {}

  // How long a transfer waits before its next piece, if the one before took `took`.
  SteadyTime PauseAfter(SteadyTime took) const {
    if (!writes_under_way_()) return SteadyTime(0);
    return std::min<SteadyTime>(kPauseOfPiece * took, kPauseMax);
  }
  // Waits. Returns at once after Stop.
  void Wait(SteadyTime pause) {
    MutexLock lock(mutex_);
    changed_.WaitFor(lock, pause, [this]() CAIRN_REQUIRES(mutex_) { return stopped_; });
  }
  void Stop() {
    const MutexLock lock(mutex_);
    stopped_ = true;
    changed_.NotifyAll();
  }

  // The transfer works for a seventh of the time. With 3 instead of 6, 64 writers lost a third of
  // their rate (docs/performance.md).
  static constexpr int kPauseOfPiece = 6;
  // A piece that takes longer is slow by itself, as over a slow link, and hinders no write. Pieces of
  // 1 MiB still go at 100 MB/s, which is well above the pace below which the state is copied
  // (state_machine/sqlite/snapshot_file.h).
  static constexpr SteadyTime kPauseMax = std::chrono::milliseconds(10);

 private:
  const std::function<bool()> writes_under_way_;
  Mutex mutex_;
  CondVar changed_;
  bool stopped_ CAIRN_GUARDED_BY(mutex_) = false;
};

}  // namespace cairn::node
