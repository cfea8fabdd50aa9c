// SnapshotSends: the snapshots that this node sends to peers that its log can not help any more.
//
// It owns how far each transfer is and when a failed one may be repeated. It has the snapshot
// thread make and send the copies, and tells the Raft core how each ended. A transfer that fails is
// repeated after a pause that grows; nothing here fails for good.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/ids.h"
#include "base/status.h"
#include "node/replica_context.h"

namespace cairn::node {

// One owner (the core thread).
class SnapshotSends {
 public:
  explicit SnapshotSends(ReplicaContext* context) : context_(*context) {}

  // The Raft core wants `peer` to have a snapshot at or past `index_min`.
  void Start(MemberId peer, LogIndex index_min);
  // The copy for this peer is of `index`, and its bytes are on their way.
  void OnProgress(MemberId to, LogIndex index, uint64_t snapshot_bytes);
  void OnSent(MemberId to, const Status& status, LogIndex index);
  void OnTick();
  // How far the log may be dropped, for the sake of transfers; none: as far as one likes.
  // `log_bytes` is its size now.
  std::optional<LogIndex> Pinned(uint64_t log_bytes);
  // Of a peer that gets no snapshot since a disk is full, here or there: the next attempt fails as
  // well, until somebody makes room. Empty if there is none.
  std::string TroubleInWords() const;

 private:
  // A snapshot on its way, or arrived at a peer that has yet to catch up from there.
  struct Transfer {
    LogIndex pinned;     // what follows is of use to the peer
    uint64_t bytes = 0;  // of the snapshot; 0 until the copy is made
    SteadyTime progress{0};
    // kBroken: it is sent again soon, and goes on where it broke off if the log still holds what
    // follows it.
    enum class Stage { kRunning, kBroken, kArrived } stage = Stage::kRunning;
  };
  struct Failure {
    SteadyTime pause{0};
    SteadyTime until{0};
    bool reported = false;
    Status why;
  };
  // Whether the transfer concerns nobody any more.
  static bool Over(const raft::CoreStatus& core, MemberId peer, const Transfer& transfer,
                   SteadyTime now);

  const ReplicaContext& context_;
  std::map<MemberId, Transfer> transfers_;
  std::map<MemberId, Failure> failures_;
};

}  // namespace cairn::node
