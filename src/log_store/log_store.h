// LogStore: Raft's log and hard state on stable storage, for all groups of a process.
//
// One owner: the log thread. A failed write or sync is returned once and poisons the store. The
// caller aborts the process and never retries: after a failed fsync the kernel may drop the dirty
// pages and report success the next time.
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

// The changes to one group in one batch, applied in this order: reset, truncate, append.
struct GroupWrite {
  GroupId group{};
  std::optional<raft::HardState> hard_state{};
  // Drop the whole log; the log now begins after this point (snapshot install).
  struct ResetTo {
    LogIndex index;
    Term term;
  };
  std::optional<ResetTo> reset_to{};
  // Drop the entries from this index on.
  std::optional<LogIndex> truncate_from{};
  // Contiguous entries; the first follows the last index that is left.
  std::vector<raft::Entry> entries{};
};

// The state of a group's log.
struct GroupState {
  raft::HardState hard_state;
  LogIndex snapshot_index;  // the log begins after this
  Term snapshot_term;
  LogIndex last;  // == snapshot_index when the log is empty
};

class LogStore {
 public:
  virtual ~LogStore() = default;

  // Every group that was ever written, with its current state in memory.
  virtual std::map<GroupId, GroupState> Groups() const = 0;
  // Term, index and type of each entry of the group after its snapshot_index, in order. Payloads
  // are null, except those of kConfig entries. A core starts from the result.
  virtual Result<std::vector<raft::Entry>> LoadIndex(GroupId group) = 0;

  // Writes all of `writes` as one atomic batch. After a crash either the whole batch is there or
  // none of it; if the batch is there, every batch before it is there too. The batch is not durable
  // before Sync.
  //
  // Two errors leave the store as it was. INVALID_ARGUMENT: the batch is too large.
  // RESOURCE_EXHAUSTED: the disk has no room for the next segment; nothing was written, and the
  // caller may retry when there is room. (A disk that is found full later than that poisons the
  // store, as INTERNAL.) Every segment keeps back space for a batch without entries, so votes, and
  // the Compact that frees space, can still be written.
  virtual Status Write(const std::vector<GroupWrite>& writes) = 0;
  // Makes everything written so far durable with one fdatasync (group commit), however many batches
  // there are.
  virtual Status Sync() = 0;

  // Entries [from, to) of the group, up to `bytes_max` payload bytes but at least one entry. Empty
  // if `from` is no longer in the log. DATA_LOSS, with file and offset, if the bytes read fail
  // their checksum. Only the log thread may call Read.
  virtual Result<std::vector<raft::Entry>> Read(GroupId group, LogIndex from, LogIndex to,
                                                size_t bytes_max) = 0;

  // The group no longer needs entries up to `index` (whose term is `term`): the log begins after
  // `index`. Frees whole segments that no group needs. The compaction is durable with the next
  // Sync; losing it is harmless.
  virtual Status Compact(GroupId group, LogIndex index, Term term) = 0;

  // For an idle log: writes a seal at the end (see docs/internals/log_format.md) and syncs, so that
  // later rot of the last batch can be told from a torn write. Does nothing if the log is already
  // sealed. RESOURCE_EXHAUSTED as in Write.
  virtual Status SealIdle() = 0;

  // The size of the live segment files in bytes.
  virtual uint64_t SizeBytes() const = 0;
};

}  // namespace cairn::log_store
