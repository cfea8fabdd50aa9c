// LogCompaction: keeps the log near its configured size, and never drops entries that the database
// does not durably hold.
//
// LogCompaction owns how many bytes of log lie where, and how far the database is durable. It
// orders the compaction of the log, in the Raft core and on disk, and asks for checkpoints.
#pragma once

#include <cstdint>
#include <vector>

#include "base/ids.h"
#include "node/log_extent.h"
#include "node/replica_context.h"
#include "node/snapshot_sends.h"
#include "raft/core.h"

namespace cairn::node {

// Not thread-safe: the core thread owns it.
class LogCompaction {
 public:
  LogCompaction(ReplicaContext* context, SnapshotSends* sends);
  // The log as it was opened, with `bytes` on disk, over a database that durably holds `durable`.
  void Init(const std::vector<raft::Entry>& entries, uint64_t bytes, LogIndex durable);

  void OnPersist(const raft::Persist& persist);
  void OnCheckpointed(LogIndex durable);
  // The database was replaced or reopened, and durably holds `durable`.
  void OnStateReplaced(LogIndex durable) { durable_state_ = durable; }
  // The apply thread has stopped, so the checkpoint that was asked for does not come.
  void OnApplyStopped() { checkpoint_wanted_ = false; }
  // `applied` is what the database holds. `disk_low`: no peer's snapshot may hold the log back.
  void Step(LogIndex applied, bool disk_low);

  LogIndex durable_state() const { return durable_state_; }
  uint64_t log_bytes() const { return extent_.bytes(); }

 private:
  const ReplicaContext& context_;
  SnapshotSends* const sends_;
  LogExtent extent_;
  LogIndex durable_state_;
  bool checkpoint_wanted_ = false;
};

}  // namespace cairn::node
