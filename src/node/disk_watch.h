// DiskWatch: whether the disk of the log answers, and whether it has room.
//
// DiskWatch owns what is under way at the log thread, and what that thread said last about space.
// It calls nobody. A disk that hangs and a disk that is full are states, not failures: both end by
// themselves.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>

#include "base/clock.h"
#include "base/status.h"
#include "node/replica_context.h"

namespace cairn::node {

// Not thread-safe: the core thread owns it.
class DiskWatch {
 public:
  explicit DiskWatch(ReplicaContext* context) : context_(*context) {}

  void OnPersistBegun(uint64_t sequence);
  // This persist and all persists before it are durable.
  void OnPersisted(uint64_t sequence);
  void OnFetchBegun(uint64_t fetch_id);
  void OnFetched(uint64_t fetch_id) { fetches_.erase(fetch_id); }
  // Not OK: the log thread has written nothing and goes on trying. OK: the trouble is over.
  void OnLogFull(const Status& status);
  // Returns true if room has just become scarce.
  bool OnFreeBytes(uint64_t bytes);
  // Called at each tick, so several times within `disk_stall_max` unless the process stands still.
  void OnTick();

  bool persisting() const { return !persists_.empty(); }
  // Too little space is free. Writes that are under way are finished, and new writes are refused.
  bool low() const { return free_bytes_low_.has_value(); }
  // Nothing is written: the disk hangs, or the log cannot grow.
  bool blocked() const { return stalled_ || !log_full_.ok(); }
  // RESOURCE_EXHAUSTED, with the reason, while there is no room for writes.
  std::optional<Status> Full() const;

 private:
  struct Persist {
    uint64_t sequence;
    SteadyTime begun;
  };

  // Leaves out the time in which this process stood still, so that the disk is not blamed for it.
  void ForgivePause(SteadyTime now);

  const ReplicaContext& context_;
  std::deque<Persist> persists_;
  std::map<uint64_t, SteadyTime> fetches_;  // by id, which rises with time
  std::optional<SteadyTime> last_tick_;
  bool stalled_ = false;
  Status log_full_;
  std::optional<uint64_t> free_bytes_low_;
};

}  // namespace cairn::node
