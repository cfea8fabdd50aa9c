// ReadBarriers: reads that wait for a read index, then for the state machine to reach it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "base/result.h"

namespace cairn::node {

using ReadDone = std::function<void(Result<LogIndex>)>;

struct PendingRead {
  LogIndex index_min;
  SteadyTime deadline;
  ReadDone done;
};

// One owner (the core thread). All reads that gathered since the last round share the next one: a
// round that began before a read arrived proves nothing for it.
class ReadBarriers {
 public:
  explicit ReadBarriers(size_t reads_max) : reads_max_(reads_max) {}

  // Wants a read index from the leader. RESOURCE_EXHAUSTED (answered at once) when too many wait.
  void AddLinearizable(PendingRead read);
  // Only waits until `read.index_min` has been applied.
  void AddLocal(PendingRead read, LogIndex applied);

  // Begins a round under this id for all reads that have gathered, which the caller then steps into
  // the core; false (and the id is free) if nothing waits.
  bool BeginRound(uint64_t id);
  void OnGranted(uint64_t round, LogIndex index, LogIndex applied);
  // Leadership was lost meanwhile: the round's reads join the next.
  void OnRefused(uint64_t round);
  void FailRound(uint64_t round, const Status& status);

  void OnApplied(LogIndex applied);
  // Answers reads whose deadline has passed; `why` tells what they waited for.
  void Expire(SteadyTime now, const Status& no_index, const Status& not_applied);
  void FailAll(const Status& status);

  size_t size() const { return size_; }

  bool awaiting_apply() const { return !awaiting_apply_.empty(); }

 private:
  std::vector<PendingRead> TakeRound(uint64_t round);
  void Finish(PendingRead& read, Result<LogIndex> result);
  void Await(PendingRead read, LogIndex index, LogIndex applied);

  const size_t reads_max_;
  size_t size_ = 0;
  std::vector<PendingRead> gathering_;
  std::map<uint64_t, std::vector<PendingRead>> rounds_;
  std::multimap<LogIndex, PendingRead> awaiting_apply_;
};

}  // namespace cairn::node
