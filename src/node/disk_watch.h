// DiskWatch: whether the disk of the log answers, and whether it has room.
//
// It owns what is under way at the log thread, and what that thread said last about space. It calls
// nobody. A disk that hangs, and one that is full, are states, not failures: both end by themselves.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>

#include "base/clock.h"
#include "base/status.h"
#include "node/replica_context.h"

namespace cairn::node {

// One owner (the core thread).
class DiskWatch {
 public:
  explicit DiskWatch(ReplicaContext* context) : context_(*context) {}

  void OnPersistBegun(uint64_t sequence);
  // This persist, and so all before it, are durable.
  void OnPersisted(uint64_t sequence);
  void OnFetchBegun(uint64_t fetch_id);
  void OnFetched(uint64_t fetch_id) { fetches_.erase(fetch_id); }
  // Not OK: nothing was written, and the log thread goes on trying. OK: the trouble is over.
  void OnLogFull(const Status& status);
  // True if room has just become scarce.
  bool OnFreeBytes(uint64_t bytes);
  // Called with each tick, and so a few times in `disk_stall_max`, unless the process stands still.
  void OnTick();

  bool persisting() const { return !persists_.empty(); }
  // Too little is free. What is under way is finished, new writes are refused.
  bool low() const { return free_bytes_low_.has_value(); }
  // Nothing gets written: the disk hangs, or the log can not grow.
  bool blocked() const { return stalled_ || !log_full_.ok(); }
  // RESOURCE_EXHAUSTED, with the reason, while there is no room for writes.
  std::optional<Status> Full() const;

 private:
  struct Persist {
    uint64_t sequence;
    SteadyTime begun;
  };

  // Does not count the time in which this process stood still against the disk.
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
