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

// Not thread-safe: the core thread owns it. All reads that have gathered since the last round share
// the next round. A round that began before a read arrived proves nothing for that read.
class ReadBarriers {
 public:
  explicit ReadBarriers(size_t reads_max) : reads_max_(reads_max) {}

  // The read needs a read index from the leader. It is refused at once (RESOURCE_EXHAUSTED) when
  // too many reads wait.
  void AddLinearizable(PendingRead read);
  // The read only waits until `read.index_min` has been applied.
  void AddLocal(PendingRead read, LogIndex applied);

  // The reads that would share the next round.
  size_t gathering() const { return gathering_.size(); }
  // Begins a round under this id for all reads that have gathered. The caller then steps the round
  // into the core. False: nothing waits, and the id is free.
  bool BeginRound(uint64_t id);
  void OnGranted(uint64_t round, LogIndex index, LogIndex applied);
  // Leadership was lost meanwhile. The reads of the round join the next round.
  void OnRefused(uint64_t round);
  void FailRound(uint64_t round, const Status& status);

  void OnApplied(LogIndex applied);
  // Answers the reads whose deadline has passed, by what they waited for.
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
