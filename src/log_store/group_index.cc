#include "log_store/group_index.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/check.h"

namespace cairn::log_store {

GroupState GroupIndex::state() const {
  return {.hard_state = hard_state_,
          .snapshot_index = snapshot_index_,
          .snapshot_term = snapshot_term_,
          .last = last()};
}

Term GroupIndex::TermOf(LogIndex index) const {
  CHECK(Holds(index)) << ToString(index);
  const auto after = std::upper_bound(runs_.begin(), runs_.end(), index,
                                      [](LogIndex i, const TermRun& run) { return i < run.first; });
  return std::prev(after)->term;
}

std::optional<uint64_t> GroupIndex::OldestSegment() const {
  if (refs_.empty()) return std::nullopt;
  return refs_.front().segment;  // a later index is always written later in the log
}

Record GroupIndex::HeadRecord(GroupId group) const {
  Record record{.type = RecordType::kGroupHead,
                .group = group,
                .term = snapshot_term_,
                .index = snapshot_index_};
  ByteWriter w(&record.owned);
  w.U64(hard_state_.term.value());
  w.U64(hard_state_.vote.value());
  w.U64(hard_state_.commit.value());
  w.U64(last().value());
  return record;
}

Status GroupIndex::Apply(const Record& record, uint64_t segment, uint64_t offset) {
  Status status;
  switch (record.type) {
    case RecordType::kEntry: status = ApplyEntry(record, segment, offset); break;
    case RecordType::kHardState: status = ApplyHardState(record); break;
    case RecordType::kTruncate: status = ApplyTruncate(record.index); break;
    case RecordType::kReset:
      refs_.clear();
      runs_.clear();
      snapshot_index_ = record.index;
      snapshot_term_ = record.term;
      first_ = record.index + 1;
      break;
    case RecordType::kCompact: status = ApplyCompact(record.index, record.term); break;
    case RecordType::kGroupHead: status = ApplyHead(record); break;
    case RecordType::kSeal: return DataLoss("a seal belongs to no group");
  }
  if (status.ok()) seen_ = true;
  return status;
}

Status GroupIndex::ApplyEntry(const Record& record, uint64_t segment, uint64_t offset) {
  if (record.index != last() + 1) {
    return DataLoss("entry " + ToString(record.index) + " after entry " + ToString(last()));
  }
  const bool known_type = record.entry_type >= 1 && record.entry_type <= 3;
  if (!known_type) return DataLoss("unknown entry type " + std::to_string(record.entry_type));
  if (runs_.empty() || runs_.back().term != record.term)
    runs_.push_back({record.index, record.term});
  refs_.push_back({.segment = segment & 0xffffffffU,
                   .offset = offset & (kSegmentBytesMax - 1),
                   .type = static_cast<uint64_t>(record.entry_type) & 3U});
  return OkStatus();
}

Status GroupIndex::ApplyHardState(const Record& record) {
  ByteReader r(record.payload());
  const MemberId vote(r.U64());
  if (!r.done())
    return DataLoss("hard state of " + std::to_string(record.payload().size()) + " bytes");
  hard_state_ = {.term = record.term, .vote = vote, .commit = record.index};
  return OkStatus();
}

Status GroupIndex::ApplyTruncate(LogIndex from) {
  if (from <= snapshot_index_) {
    return DataLoss("truncation from " + ToString(from) + ", but the log begins after " +
                    ToString(snapshot_index_));
  }
  while (!refs_.empty() && last() >= from) refs_.pop_back();
  // Recovery has not seen the earlier entries: they were in a segment that was freed.
  if (refs_.empty() && first_ > from) first_ = from;
  while (!runs_.empty() && runs_.back().first > last()) runs_.pop_back();
  return OkStatus();
}

Status GroupIndex::ApplyCompact(LogIndex index, Term term) {
  if (index < snapshot_index_ || index > last()) {
    return DataLoss("compaction to " + ToString(index) + " of a log of " + ToString(first_) +
                    " to " + ToString(last()));
  }
  snapshot_index_ = index;
  snapshot_term_ = term;
  while (first_ <= index) {
    refs_.pop_front();
    ++first_;
  }
  DropRunsBefore(first_);
  return OkStatus();
}

void GroupIndex::DropRunsBefore(LogIndex index) {
  if (refs_.empty()) {
    runs_.clear();
    return;
  }
  while (runs_.size() > 1 && runs_[1].first <= index) runs_.pop_front();
}

Status GroupIndex::ApplyHead(const Record& record) {
  ByteReader r(record.payload());
  const raft::HardState hard_state{
      .term = Term(r.U64()), .vote = MemberId(r.U64()), .commit = LogIndex(r.U64())};
  const LogIndex last_then(r.U64());
  if (!r.done())
    return DataLoss("group head of " + std::to_string(record.payload().size()) + " bytes");
  if (last_then < record.index) return DataLoss("group head that ends before it begins");
  if (!seen_) {
    hard_state_ = hard_state;
    snapshot_index_ = record.index;
    snapshot_term_ = record.term;
    first_ = last_then + 1;
    return OkStatus();
  }
  // A group head repeats the state that all records before it must have led to.
  if (hard_state != hard_state_ || record.index != snapshot_index_ ||
      record.term != snapshot_term_ || last_then != last()) {
    return DataLoss("group head that contradicts the segment before it");
  }
  return OkStatus();
}

}  // namespace cairn::log_store
