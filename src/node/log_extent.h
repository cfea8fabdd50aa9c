// LogExtent: how many bytes of log lie behind which index, so that compaction can keep the log near
// its size and still leave a tail for followers that are a little behind.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "base/ids.h"
#include "raft/types.h"

namespace cairn::node {

// A point up to which the log may be dropped.
struct CompactionPoint {
  LogIndex index;
  Term term;
};

// One owner (the core thread).
class LogExtent {
 public:
  // Knows points about `log_bytes_max` / 1024 apart: a log kept short needs finer ones.
  explicit LogExtent(uint64_t log_bytes_max);
  // Starts from the entries the log held on open; payloads are not known then, so `bytes` (the size
  // on disk) is spread evenly.
  void Init(const std::vector<raft::Entry>& entries, uint64_t bytes);
  void Append(const std::vector<raft::Entry>& entries);
  void TruncateFrom(LogIndex index);
  void Reset();

  uint64_t bytes() const { return bytes_; }
  // The highest known point at or below `limit` that leaves at least `keep_bytes` behind it. None
  // if there is none.
  std::optional<CompactionPoint> PointLeaving(uint64_t keep_bytes, LogIndex limit) const;
  void CompactTo(LogIndex index);

 private:
  // Entries after the previous mark and up to `last`.
  struct Mark {
    LogIndex last;
    Term term;
    uint64_t bytes = 0;
  };
  void AddEntry(const raft::Entry& entry, uint64_t bytes);
  const uint64_t mark_bytes_;
  std::deque<Mark> marks_;
  uint64_t bytes_ = 0;
};

}  // namespace cairn::node
