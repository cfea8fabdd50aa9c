// LogExtent: how many bytes of log lie behind which index. So compaction can keep the log near its
// configured size and still leave a tail for followers that are a little behind.
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

// Not thread-safe: the core thread owns it.
class LogExtent {
 public:
  // The known points are about `log_bytes_max` / 1024 bytes apart: a log that is kept short needs
  // finer points.
  explicit LogExtent(uint64_t log_bytes_max);
  // Starts from the entries that the log held when it was opened. The sizes of payloads are not
  // known then, so `bytes` (the size on disk) is spread evenly.
  void Init(const std::vector<raft::Entry>& entries, uint64_t bytes);
  void Append(const std::vector<raft::Entry>& entries);
  void TruncateFrom(LogIndex index);
  void Reset();

  uint64_t bytes() const { return bytes_; }
  // The highest known point at or below `limit` that leaves at least `keep_bytes` behind it. None
  // if there is no such point.
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
