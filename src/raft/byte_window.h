// ByteWindow: the messages and bytes in flight between two log indexes.
#pragma once

#include <cstddef>
#include <deque>

#include "base/ids.h"
#include "raft/types.h"

namespace cairn::raft {

// What an entry counts for in every limit: its payload, plus a fixed overhead for the entry itself,
// so that a flood of empty entries is bounded too.
inline constexpr size_t kEntryOverheadBytes = 32;
inline size_t EntryCost(const Entry& entry) { return entry.payload->size() + kEntryOverheadBytes; }

// Batches in order of their last index. Add counts a batch's bytes when the batch goes out.
// ReleaseUpTo subtracts whole batches, when everything up to an index has been acknowledged, so the
// totals cannot leak.
class ByteWindow {
 public:
  void Add(LogIndex last, size_t bytes) {
    batches_.push_back({last, bytes});
    bytes_ += bytes;
  }
  void ReleaseUpTo(LogIndex index) {
    while (!batches_.empty() && batches_.front().last <= index) {
      bytes_ -= batches_.front().bytes;
      batches_.pop_front();
    }
  }
  void Clear() {
    batches_.clear();
    bytes_ = 0;
  }
  size_t count() const { return batches_.size(); }
  size_t bytes() const { return bytes_; }

 private:
  struct Batch {
    LogIndex last;
    size_t bytes;
  };
  std::deque<Batch> batches_;
  size_t bytes_ = 0;
};

}  // namespace cairn::raft
