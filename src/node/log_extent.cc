#include "node/log_extent.h"

#include <algorithm>

namespace cairn::node {
namespace {

constexpr uint64_t kMarks = 1024;
constexpr uint64_t kMarkBytesMin = 256;
constexpr uint64_t kMarkBytesMax = 64 << 10;
// What a record costs in addition to its payload.
constexpr uint64_t kEntryOverheadBytes = 48;

}  // namespace

LogExtent::LogExtent(uint64_t log_bytes_max)
    : mark_bytes_(std::clamp(log_bytes_max / kMarks, kMarkBytesMin, kMarkBytesMax)) {}

void LogExtent::AddEntry(const raft::Entry& entry, uint64_t bytes) {
  if (marks_.empty() || marks_.back().bytes >= mark_bytes_) marks_.emplace_back();
  Mark& mark = marks_.back();
  mark.last = entry.index;
  mark.term = entry.term;
  mark.bytes += bytes;
  bytes_ += bytes;
}

void LogExtent::Init(const std::vector<raft::Entry>& entries, uint64_t bytes) {
  Reset();
  for (const raft::Entry& entry : entries) AddEntry(entry, bytes / entries.size());
}

void LogExtent::Append(const std::vector<raft::Entry>& entries) {
  for (const raft::Entry& entry : entries) {
    AddEntry(entry, entry.payload->size() + kEntryOverheadBytes);
  }
}

void LogExtent::TruncateFrom(LogIndex index) {
  // A mark that straddles the cut goes as a whole. What it covered below the cut is then counted
  // with the next mark, without its bytes. The error is one mark.
  while (!marks_.empty() && marks_.back().last >= index) {
    bytes_ -= marks_.back().bytes;
    marks_.pop_back();
  }
}

void LogExtent::Reset() {
  marks_.clear();
  bytes_ = 0;
}

std::optional<CompactionPoint> LogExtent::PointLeaving(uint64_t keep_bytes, LogIndex limit) const {
  std::optional<CompactionPoint> point;
  uint64_t behind = bytes_;
  for (const Mark& mark : marks_) {
    behind -= mark.bytes;
    if (mark.last > limit || behind < keep_bytes) break;
    point = CompactionPoint{mark.last, mark.term};
  }
  return point;
}

void LogExtent::CompactTo(LogIndex index) {
  while (!marks_.empty() && marks_.front().last <= index) {
    bytes_ -= marks_.front().bytes;
    marks_.pop_front();
  }
}

}  // namespace cairn::node
