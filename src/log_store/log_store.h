// LogStore: Raft's log and hard state on stable storage, for all groups of a process.
//
// One owner (the log thread), but for Read and the accessors marked thread-safe. A failed write or
// sync is returned once and poisons the store: the caller aborts the process, and never tries again
// (after a failed fsync the kernel may drop the dirty pages and report success the next time).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "base/status.h"
#include "raft/types.h"

namespace cairn::log_store {

// The change of one group in one batch. Applied in this order: reset, truncate, append.
struct GroupWrite {
  GroupId group{};
  std::optional<raft::HardState> hard_state{};
  // Forget the whole log; it now begins after this point (snapshot install).
  struct ResetTo {
    LogIndex index;
    Term term;
  };
  std::optional<ResetTo> reset_to{};
  // Drop entries from this index on.
  std::optional<LogIndex> truncate_from{};
  // Contiguous; the first follows the last index that is left.
  std::vector<raft::Entry> entries{};
};

// What a group's log holds.
struct GroupState {
  raft::HardState hard_state;
  LogIndex snapshot_index;  // the log begins after this
  Term snapshot_term;
  LogIndex last;  // == snapshot_index when empty
};

class LogStore {
 public:
  virtual ~LogStore() = default;

  // Groups that have ever been written, with their state as it is now in memory.
  virtual std::map<GroupId, GroupState> Groups() const = 0;
  // Term, index and type of each entry of the group after its snapshot_index, in order; payloads
  // are null, but for kConfig entries. For the start of a core.
  virtual Result<std::vector<raft::Entry>> LoadIndex(GroupId group) = 0;

  // Writes all of `writes` as one atomic batch: after a crash either the whole batch is there or
  // none of it, and if it is, every batch before it is too. Not durable before Sync. Two errors
  // leave the store as it was: INVALID_ARGUMENT, the batch is too large; and RESOURCE_EXHAUSTED,
  // the disk has no room for the next segment: nothing was written, and the call may be made again
  // when there is. (A full disk met later than that poisons, as INTERNAL.) Space for a batch
  // without entries, so for votes and for the Compact that frees space, is kept back in every
  // segment.
  virtual Status Write(const std::vector<GroupWrite>& writes) = 0;
  // Makes all that was written durable: one fdatasync (group commit), however many batches.
  virtual Status Sync() = 0;

  // Entries [from, to) of the group, up to `bytes_max` payload bytes but at least one. Empty if
  // `from` is not in the log any more. DATA_LOSS, with file and offset, if what is read fails its
  // checksum. May be called from the log thread only.
  virtual Result<std::vector<raft::Entry>> Read(GroupId group, LogIndex from, LogIndex to,
                                                size_t bytes_max) = 0;

  // The group no longer needs entries up to `index` (whose term is `term`): the log begins after
  // it. Frees whole segments that no group needs. Durable with the next Sync; losing it is
  // harmless.
  virtual Status Compact(GroupId group, LogIndex index, Term term) = 0;

  // For an idle log: seals the end (see docs/internals/log_format.md), so that later rot of the
  // last batch is told from a torn write. Syncs. Does nothing if it is sealed already.
  // RESOURCE_EXHAUSTED as in Write.
  virtual Status SealIdle() = 0;

  // Bytes of live segment files.
  virtual uint64_t SizeBytes() const = 0;
};

}  // namespace cairn::log_store
