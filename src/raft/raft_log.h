// RaftLog: the core's view of the log. It holds the terms of all entries, as runs; the entries
// themselves only for a bounded suffix; and how much of the log is certainly on disk.
//
//   snapshot_index   cache_first        durable     written         last
//        |  terms only    |  entries, too  |  under way  | not yet handed to the log store
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "base/ids.h"
#include "raft/core.h"
#include "raft/types.h"

namespace cairn::raft {

class RaftLog {
 public:
  // `entries` follow the snapshot and are all durable (see InitialState::log).
  RaftLog(LogIndex snapshot_index, Term snapshot_term, std::vector<Entry> entries,
          size_t cache_bytes_max);

  LogIndex snapshot_index() const { return snapshot_index_; }
  LogIndex first() const { return snapshot_index_ + 1; }
  LogIndex last() const { return last_; }
  // The term of the last entry, or of the snapshot if the log is empty, so that a fully compacted
  // log still compares correctly in votes.
  Term last_term() const { return runs_.back().term; }
  // None outside [snapshot_index, last]. The result is never 0 for "unknown": a compacted entry
  // must not seem to match an entry that never existed.
  std::optional<Term> TermAt(LogIndex index) const;
  bool Matches(LogIndex index, Term term) const { return TermAt(index) == term; }
  // 5.4.1: true if a log that ends at `last` with `last_term` is at least as complete as this log.
  bool IsUpToDate(LogIndex last, Term last_term) const;
  // The greatest index at or below `index` (at most last) whose term is not above `term`; the
  // snapshot index if there is no such index. A refused append can skip to this index at once.
  LogIndex LastNotAbove(LogIndex index, Term term) const;

  void Append(Entry entry);
  void TruncateFrom(LogIndex from);
  // Forgets the entries up to `index`: the state machine holds them durably.
  void Compact(LogIndex index);
  // Figure 13, rules 6 and 7. If the log holds the snapshot's last entry, Restore keeps the entries
  // after it, changes nothing and returns false: dropping them could drop acknowledged entries.
  // Otherwise Restore drops the whole log and returns true: if it kept a conflicting tail, every
  // later append would be refused for ever.
  bool Restore(LogIndex index, Term term);

  // ---- The way to disk.
  struct Unwritten {
    std::optional<LogIndex> truncate_from;
    std::vector<Entry> entries;
  };
  Unwritten TakeUnwritten();
  // The batch with the entries that were last taken (and so the log as it is now) is being written.
  void BeginWrite(const AppendTicket& ticket);
  // False if the ticket is not one in progress; such a ticket changes nothing.
  //
  // The bad schedule: entries 5..7 of term 2 are written. Before the write is reported, a leader of
  // term 3 replaces them by its own entries 5..7. If the late report counted by index alone, the
  // new entries would be taken for durable and acknowledged, while only the old entries are
  // durable. Each write in progress therefore remembers up to which index the log is still what it
  // wrote.
  bool FinishWrite(const AppendTicket& ticket);
  // Everything up to this index is on disk, exactly as it is in memory.
  LogIndex durable() const { return durable_; }

  // ---- Entries in memory.
  LogIndex cache_first() const { return cache_first_; }
  bool Cached(LogIndex index) const { return index >= cache_first_ && index <= last_; }
  // Entries [from, to), up to the limits but at least one. `from` must be cached.
  std::vector<Entry> Slice(LogIndex from, LogIndex to, size_t bytes_max, size_t entries_max) const;
  // Forgets the oldest entries past the cache limit, if they are durable and were handed out (up to
  // `handed`).
  void Evict(LogIndex handed);
  size_t cache_bytes() const { return cache_bytes_; }

 private:
  // Entries [first, next run's first) have this term. The first run begins at snapshot_index.
  struct Run {
    LogIndex first;
    Term term;
  };
  struct Write {
    AppendTicket ticket;
    LogIndex valid_last;  // up to this index the log is still what this batch left
  };
  void DropCachedBack(LogIndex from);
  void DropCachedFront();

  const size_t cache_bytes_max_;
  LogIndex snapshot_index_;
  LogIndex last_;
  std::deque<Run> runs_;
  std::deque<Entry> cache_;  // [cache_first_, last_]
  LogIndex cache_first_;
  size_t cache_bytes_ = 0;
  LogIndex written_;
  LogIndex durable_;
  std::optional<LogIndex> truncate_from_;
  std::deque<Write> writes_;
};

}  // namespace cairn::raft
