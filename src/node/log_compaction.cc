#include "node/log_compaction.h"

#include <algorithm>

namespace cairn::node {

LogCompaction::LogCompaction(ReplicaContext* context, SnapshotSends* sends)
    : context_(*context), sends_(sends), extent_(context->options.log_bytes_max) {}

void LogCompaction::Init(const std::vector<raft::Entry>& entries, uint64_t bytes,
                         LogIndex durable) {
  extent_.Init(entries, bytes);
  durable_state_ = durable;
}

void LogCompaction::OnPersist(const raft::Persist& persist) {
  if (persist.reset_to) extent_.Reset();
  if (persist.truncate_from) extent_.TruncateFrom(*persist.truncate_from);
  extent_.Append(persist.entries);
}

void LogCompaction::OnCheckpointed(LogIndex durable) {
  durable_state_ = std::max(durable_state_, durable);
  checkpoint_wanted_ = false;
}

void LogCompaction::Step(LogIndex applied, bool disk_low) {
  const uint64_t bytes_max = context_.options.log_bytes_max;
  if (!context_.raft || extent_.bytes() <= bytes_max) return;
  LogIndex limit = durable_state_;
  // A snapshot that replaced a damaged database may hold entries that a slow disk has not written
  // yet.
  limit = std::min(limit, context_.raft->status().durable);
  const auto pinned = disk_low ? std::nullopt : sends_->Pinned(extent_.bytes());
  if (pinned) limit = std::min(limit, *pinned);
  if (const auto point = extent_.PointLeaving(bytes_max / 2, limit)) {
    extent_.CompactTo(point->index);
    context_.raft->Step(raft::Compact{point->index});
    context_.effects->CompactLog(*point);
  }
  if (extent_.bytes() > bytes_max && !checkpoint_wanted_ && durable_state_ < applied) {
    checkpoint_wanted_ = true;
    context_.effects->Checkpoint();
  }
}

}  // namespace cairn::node
