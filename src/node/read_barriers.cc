#include "node/read_barriers.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace cairn::node {
namespace {

// Splits off, in order, the reads whose deadline has passed.
std::vector<PendingRead> TakeExpired(std::vector<PendingRead>* reads, SteadyTime now) {
  auto late = std::stable_partition(reads->begin(), reads->end(),
                                    [now](const PendingRead& r) { return r.deadline > now; });
  std::vector<PendingRead> expired(std::make_move_iterator(late),
                                   std::make_move_iterator(reads->end()));
  reads->erase(late, reads->end());
  return expired;
}

}  // namespace

void ReadBarriers::Finish(PendingRead& read, Result<LogIndex> result) {
  --size_;
  read.done(std::move(result));
}

void ReadBarriers::AddLinearizable(PendingRead read) {
  if (size_ >= reads_max_) {
    read.done(ResourceExhausted("too many reads are waiting on this node"));
    return;
  }
  ++size_;
  gathering_.push_back(std::move(read));
}

void ReadBarriers::AddLocal(PendingRead read, LogIndex applied) {
  if (size_ >= reads_max_) {
    read.done(ResourceExhausted("too many reads are waiting on this node"));
    return;
  }
  ++size_;
  Await(std::move(read), LogIndex(), applied);
}

void ReadBarriers::Await(PendingRead read, LogIndex index, LogIndex applied) {
  index = std::max(index, read.index_min);
  if (index <= applied) {
    Finish(read, applied);
  } else {
    awaiting_apply_.emplace(index, std::move(read));
  }
}

bool ReadBarriers::BeginRound(uint64_t id) {
  if (gathering_.empty()) return false;
  rounds_[id] = std::exchange(gathering_, {});
  return true;
}

std::vector<PendingRead> ReadBarriers::TakeRound(uint64_t round) {
  const auto it = rounds_.find(round);
  if (it == rounds_.end()) return {};
  std::vector<PendingRead> reads = std::move(it->second);
  rounds_.erase(it);
  return reads;
}

void ReadBarriers::OnGranted(uint64_t round, LogIndex index, LogIndex applied) {
  for (PendingRead& read : TakeRound(round)) Await(std::move(read), index, applied);
}

void ReadBarriers::OnRefused(uint64_t round) {
  std::vector<PendingRead> again = TakeRound(round);
  std::move(gathering_.begin(), gathering_.end(), std::back_inserter(again));
  gathering_ = std::move(again);
}

void ReadBarriers::FailRound(uint64_t round, const Status& status) {
  for (PendingRead& read : TakeRound(round)) Finish(read, status);
}

void ReadBarriers::OnApplied(LogIndex applied) {
  const auto end = awaiting_apply_.upper_bound(applied);
  std::vector<PendingRead> ready;
  for (auto it = awaiting_apply_.begin(); it != end; ++it) ready.push_back(std::move(it->second));
  awaiting_apply_.erase(awaiting_apply_.begin(), end);
  for (PendingRead& read : ready) Finish(read, applied);
}

void ReadBarriers::Expire(SteadyTime now, const Status& no_index, const Status& not_applied) {
  for (PendingRead& read : TakeExpired(&gathering_, now)) Finish(read, no_index);
  for (auto& [id, reads] : rounds_) {
    for (PendingRead& read : TakeExpired(&reads, now)) Finish(read, no_index);
  }
  std::erase_if(rounds_, [](const auto& round) { return round.second.empty(); });
  std::vector<PendingRead> late;
  for (auto it = awaiting_apply_.begin(); it != awaiting_apply_.end();) {
    if (it->second.deadline <= now) {
      late.push_back(std::move(it->second));
      it = awaiting_apply_.erase(it);
    } else {
      ++it;
    }
  }
  for (PendingRead& read : late) Finish(read, not_applied);
}

void ReadBarriers::FailAll(const Status& status) {
  for (PendingRead& read : std::exchange(gathering_, {})) Finish(read, status);
  for (auto& [id, reads] : std::exchange(rounds_, {})) {
    for (PendingRead& read : reads) Finish(read, status);
  }
  for (auto& [index, read] : std::exchange(awaiting_apply_, {})) Finish(read, status);
}

}  // namespace cairn::node
