#include "node/disk_watch.h"

#include <algorithm>
#include <string>

#include "base/log.h"

namespace cairn::node {
namespace {

std::string MiB(uint64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

}  // namespace

void DiskWatch::OnPersistBegun(uint64_t sequence) {
  persists_.push_back({sequence, context_.now()});
}

void DiskWatch::OnPersisted(uint64_t sequence) {
  while (!persists_.empty() && persists_.front().sequence <= sequence) persists_.pop_front();
}

void DiskWatch::OnFetchBegun(uint64_t fetch_id) { fetches_.emplace(fetch_id, context_.now()); }

void DiskWatch::OnLogFull(const Status& status) {
  if (log_full_.ok() && !status.ok()) {
    LOG_WARN("the log cannot grow, writes are refused until it can: {}", status.message());
  } else if (!log_full_.ok() && status.ok()) {
    LOG_INFO("the log can grow again");
  }
  log_full_ = status;
}

bool DiskWatch::OnFreeBytes(uint64_t bytes) {
  // Writes are taken again only with a margin, so that the state does not flap around the limit.
  const uint64_t needed = context_.options.free_bytes_min;
  const uint64_t enough = free_bytes_low_ ? needed + needed / 4 : needed;
  const bool was_low = low();
  if (bytes < enough) {
    free_bytes_low_ = bytes;
    if (was_low) return false;
    LOG_WARN("the disk is nearly full, writes are refused free_bytes={} needed_bytes={}", bytes,
             needed);
    return true;
  }
  if (was_low) LOG_INFO("the disk has room again, writes are taken free_bytes={}", bytes);
  free_bytes_low_.reset();
  return false;
}

void DiskWatch::OnTick() {
  // Reads of the log count too. A new leader that waits for the entries its lease clock stands on
  // proposes nothing, so writes alone would never show that its disk hangs.
  const SteadyTime now = context_.now();
  ForgivePause(now);
  SteadyTime since = now;
  if (!persists_.empty()) since = persists_.front().begun;
  if (!fetches_.empty()) since = std::min(since, fetches_.begin()->second);
  const SteadyTime stall_max = context_.options.disk_stall_max;
  const bool stalled = now - since > stall_max;
  if (stalled == stalled_) return;
  stalled_ = stalled;
  if (stalled) {
    context_.options.counts->disk_stalls.Add();
    LOG_WARN("the disk does not answer: no leadership while it lasts longer_than_ms={}",
             context_.options.disk_stall_max.count());
  } else {
    LOG_INFO("the disk answers again");
  }
}

// A process that was stopped (or whose machine slept or was overloaded) hears late of what its disk
// did long ago. The bad schedule without this: SIGSTOP for 5 s in the middle of a sync. At SIGCONT
// the disk seems to have hung for 5 s, and a sound leader steps down.
void DiskWatch::ForgivePause(SteadyTime now) {
  const SteadyTime gap = last_tick_ ? now - *last_tick_ : SteadyTime(0);
  last_tick_ = now;
  if (2 * gap <= SteadyTime(context_.options.disk_stall_max)) return;
  LOG_WARN("this process stood still (stopped, or its machine slept or was overloaded) for_ms={}",
           std::chrono::duration_cast<std::chrono::milliseconds>(gap).count());
  for (Persist& persist : persists_) persist.begun += gap;
  for (auto& [id, begun] : fetches_) begun += gap;
}

std::optional<Status> DiskWatch::Full() const {
  if (!log_full_.ok()) return ResourceExhausted("the log cannot grow: " + log_full_.message());
  if (!free_bytes_low_) return std::nullopt;
  return ResourceExhausted("the disk has " + MiB(*free_bytes_low_) + " free; writes need " +
                           MiB(context_.options.free_bytes_min));
}

}  // namespace cairn::node
