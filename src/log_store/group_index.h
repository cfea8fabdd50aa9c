// GroupIndex: the contents of one group's log and where each entry is, in memory. An entry costs
// eight bytes, so a log of a million entries costs 8 MB; terms are kept as runs.
#pragma once

#include <cstdint>
#include <deque>

#include "base/status.h"
#include "log_store/log_format.h"
#include "log_store/log_store.h"

namespace cairn::log_store {

// The place where an entry's record begins.
struct EntryRef {
  uint64_t segment : 32;
  uint64_t offset : 30;
  uint64_t type : 2;  // raft::EntryType
};
static_assert(sizeof(EntryRef) == 8);

// One owner. Only Apply changes the index. The writer and recovery both call Apply, so a record
// means the same to both.
class GroupIndex {
 public:
  // Applies a record of this group that is at `offset` of `segment`. DATA_LOSS, with nothing
  // changed, if the record cannot follow the records applied before.
  Status Apply(const Record& record, uint64_t segment, uint64_t offset);

  GroupState state() const;
  const raft::HardState& hard_state() const { return hard_state_; }
  LogIndex snapshot_index() const { return snapshot_index_; }
  Term snapshot_term() const { return snapshot_term_; }
  LogIndex last() const { return first_ + refs_.size() - 1; }
  // The first entry held. It is above snapshot_index() + 1 only during recovery, while entries of
  // segments that were freed are missing and recovery has not yet met the record that released
  // them.
  LogIndex first() const { return first_; }
  bool Holds(LogIndex index) const { return index >= first_ && index <= last(); }

  // `index` must be held.
  EntryRef RefOf(LogIndex index) const { return refs_[index - first_]; }
  Term TermOf(LogIndex index) const;
  // The oldest segment that holds an entry of this group; nothing if no segment does.
  std::optional<uint64_t> OldestSegment() const;

  // The record that repeats this group's state at the head of a segment.
  Record HeadRecord(GroupId group) const;

 private:
  struct TermRun {
    LogIndex first;
    Term term;
  };

  Status ApplyHead(const Record& record);
  Status ApplyEntry(const Record& record, uint64_t segment, uint64_t offset);
  Status ApplyHardState(const Record& record);
  Status ApplyTruncate(LogIndex from);
  Status ApplyCompact(LogIndex index, Term term);
  void DropRunsBefore(LogIndex index);

  bool seen_ = false;
  raft::HardState hard_state_;
  LogIndex snapshot_index_;
  Term snapshot_term_;
  LogIndex first_{1};
  std::deque<EntryRef> refs_;
  std::deque<TermRun> runs_;
};

}  // namespace cairn::log_store
