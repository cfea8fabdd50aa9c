#include "raft/raft_log.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/check.h"
#include "raft/byte_window.h"

namespace cairn::raft {
namespace {

// An apply thread that falls far behind must not make the cache grow without bound. Past this
// multiple of the cache limit, durable entries leave the cache even if they are not yet applied,
// and are read back later.
constexpr size_t kCacheHardFactor = 4;

}  // namespace

RaftLog::RaftLog(LogIndex snapshot_index, Term snapshot_term, std::vector<Entry> entries,
                 size_t cache_bytes_max)
    : cache_bytes_max_(cache_bytes_max),
      snapshot_index_(snapshot_index),
      last_(snapshot_index),
      runs_{{snapshot_index, snapshot_term}},
      cache_first_(snapshot_index + 1) {
  for (Entry& entry : entries) {
    CHECK(entry.index == last_ + 1) << "hole in the log after " << last_.value();
    CHECK(entry.term >= last_term()) << "terms fall at " << entry.index.value();
    if (entry.payload != nullptr) {
      Append(std::move(entry));
      continue;
    }
    // Memory can serve only entries with payloads, and only if no later entry lacks a payload.
    cache_.clear();
    cache_bytes_ = 0;
    if (entry.term != last_term()) runs_.push_back({entry.index, entry.term});
    last_ = entry.index;
    cache_first_ = last_ + 1;
  }
  written_ = durable_ = last_;
}

std::optional<Term> RaftLog::TermAt(LogIndex index) const {
  if (index < snapshot_index_ || index > last_) return std::nullopt;
  // Most calls ask about the last few terms.
  for (auto run = runs_.rbegin(); run != runs_.rend(); ++run) {
    if (run->first <= index) return run->term;
  }
  return std::nullopt;
}

bool RaftLog::IsUpToDate(LogIndex last, Term term) const {
  return term > last_term() || (term == last_term() && last >= last_);
}

LogIndex RaftLog::LastNotAbove(LogIndex index, Term term) const {
  LogIndex end = std::min(index, last_);
  for (auto run = runs_.rbegin(); run != runs_.rend(); ++run) {
    if (run->first > end) continue;
    if (run->term <= term) return end;
    end = run->first - std::min<uint64_t>(run->first.value(), 1);
  }
  return snapshot_index_;
}

void RaftLog::Append(Entry entry) {
  CHECK(entry.index == last_ + 1);
  CHECK(entry.term >= last_term());
  CHECK(entry.payload != nullptr);
  if (entry.term != last_term()) runs_.push_back({entry.index, entry.term});
  last_ = entry.index;
  cache_bytes_ += EntryCost(entry);
  cache_.push_back(std::move(entry));
}

void RaftLog::TruncateFrom(LogIndex from) {
  CHECK(from > snapshot_index_ && from <= last_);
  DropCachedBack(from);
  while (runs_.size() > 1 && runs_.back().first >= from) runs_.pop_back();
  last_ = from - 1;
  cache_first_ = std::min(cache_first_, from);
  if (from <= written_) {
    written_ = last_;
    truncate_from_ = truncate_from_ ? std::min(*truncate_from_, from) : from;
  }
  durable_ = std::min(durable_, last_);
  for (Write& write : writes_) write.valid_last = std::min(write.valid_last, last_);
}

void RaftLog::DropCachedBack(LogIndex from) {
  while (!cache_.empty() && cache_.back().index >= from) {
    cache_bytes_ -= EntryCost(cache_.back());
    cache_.pop_back();
  }
}

void RaftLog::DropCachedFront() {
  cache_bytes_ -= EntryCost(cache_.front());
  cache_.pop_front();
  ++cache_first_;
}

void RaftLog::Compact(LogIndex index) {
  if (index <= snapshot_index_) return;
  CHECK(index <= durable_);
  while (!cache_.empty() && cache_.front().index <= index) DropCachedFront();
  cache_first_ = std::max(cache_first_, index + 1);
  while (runs_.size() > 1 && runs_[1].first <= index) runs_.pop_front();
  runs_.front().first = index;
  snapshot_index_ = index;
}

bool RaftLog::Restore(LogIndex index, Term term) {
  if (Matches(index, term)) return false;
  cache_.clear();
  cache_bytes_ = 0;
  cache_first_ = index + 1;
  snapshot_index_ = last_ = written_ = index;
  runs_.assign(1, {index, term});
  truncate_from_.reset();
  durable_ = LogIndex();
  for (Write& write : writes_) write.valid_last = LogIndex();
  return true;
}

RaftLog::Unwritten RaftLog::TakeUnwritten() {
  Unwritten unwritten;
  unwritten.truncate_from = std::exchange(truncate_from_, std::nullopt);
  CHECK(cache_first_ <= written_ + 1) << "an entry was evicted before it was written";
  auto from = cache_.begin() + static_cast<ptrdiff_t>(written_ + 1 - cache_first_);
  unwritten.entries.assign(from, cache_.end());
  written_ = last_;
  return unwritten;
}

void RaftLog::BeginWrite(const AppendTicket& ticket) { writes_.push_back({ticket, last_}); }

bool RaftLog::FinishWrite(const AppendTicket& ticket) {
  auto done = std::find_if(writes_.begin(), writes_.end(),
                           [&](const Write& write) { return write.ticket == ticket; });
  if (done == writes_.end()) return false;
  // A batch is durable only together with all batches before it.
  for (auto write = writes_.begin(); write != std::next(done); ++write) {
    durable_ = std::max(durable_, write->valid_last);
  }
  writes_.erase(writes_.begin(), std::next(done));
  return true;
}

std::vector<Entry> RaftLog::Slice(LogIndex from, LogIndex to, size_t bytes_max,
                                  size_t entries_max) const {
  CHECK(Cached(from) && from < to && to <= last_ + 1);
  const size_t begin = from - cache_first_;
  const size_t end = begin + std::min<size_t>(to - from, entries_max);
  size_t stop = begin + 1;
  for (size_t bytes = EntryCost(cache_[begin]); stop < end; ++stop) {
    bytes += EntryCost(cache_[stop]);
    if (bytes > bytes_max) break;
  }
  return {cache_.begin() + static_cast<ptrdiff_t>(begin),
          cache_.begin() + static_cast<ptrdiff_t>(stop)};
}

void RaftLog::Evict(LogIndex handed) {
  const size_t hard_max = cache_bytes_max_ * kCacheHardFactor;
  while (cache_bytes_ > cache_bytes_max_ && !cache_.empty()) {
    const LogIndex oldest = cache_.front().index;
    if (oldest > durable_ || oldest > written_) return;
    if (oldest > handed && cache_bytes_ <= hard_max) return;
    DropCachedFront();
  }
}

}  // namespace cairn::raft
