// ReadBarriers: reads that wait for a read index, then for the state machine to reach it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
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

// One owner (the core thread). Reads that arrive while a round is under way share the next one: a
// round that began before a read arrived proves nothing for it.
class ReadBarriers {
 public:
  explicit ReadBarriers(size_t reads_max) : reads_max_(reads_max) {}

  // Wants a read index from the leader. RESOURCE_EXHAUSTED (answered at once) when too many wait.
  void AddLinearizable(PendingRead read);
  // Only waits until `read.index_min` has been applied.
  void AddLocal(PendingRead read, LogIndex applied);

  // Begins a round under this id for all reads that have gathered, which the caller then steps into
  // the core; false (and the id is free) while a round is under way or nothing waits.
  bool BeginRound(uint64_t id, SteadyTime now);
  // Of an unknown round (given up): ignored.
  void OnGranted(uint64_t round, LogIndex index, LogIndex applied);
  // The round did not come about; its reads join the next.
  void OnRefused(uint64_t round);
  // A round without an answer since `started_before` is given up (its messages may be lost) and its
  // reads join the next. A late grant of the old round is not used.
  void RetryStalled(SteadyTime started_before);

  void OnApplied(LogIndex applied);
  // Answers reads whose deadline has passed; `why` tells what they waited for.
  void Expire(SteadyTime now, const Status& no_index, const Status& not_applied);
  void FailAll(const Status& status);

  size_t size() const { return size_; }

 private:
  void Finish(PendingRead& read, Result<LogIndex> result);
  void Await(PendingRead read, LogIndex index, LogIndex applied);

  const size_t reads_max_;
  size_t size_ = 0;
  std::vector<PendingRead> gathering_;
  std::optional<uint64_t> round_;
  SteadyTime round_started_{0};
  std::vector<PendingRead> in_round_;
  std::multimap<LogIndex, PendingRead> awaiting_apply_;
};

}  // namespace cairn::node
