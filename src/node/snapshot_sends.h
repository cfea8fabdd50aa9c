// SnapshotSends: the snapshots that this node sends to peers for which its log reaches back too
// little.
//
// SnapshotSends owns how far each transfer is, and when a failed one may be repeated. It has the
// snapshot thread make and send the copies, and tells the Raft core how each transfer ended. A
// transfer that fails is repeated after a pause that grows. Nothing here fails for good.
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

// Not thread-safe: the core thread owns it.
class SnapshotSends {
 public:
  explicit SnapshotSends(ReplicaContext* context) : context_(*context) {}

  // The Raft core wants `peer` to have a snapshot of `index_min` or later.
  void Start(MemberId peer, LogIndex index_min);
  // The copy for this peer is of `index`, and its bytes are on their way.
  void OnProgress(MemberId to, LogIndex index, uint64_t snapshot_bytes);
  void OnSent(MemberId to, const Status& status, LogIndex index);
  void OnTick();
  // The index up to which the log may be dropped while transfers need it. None: transfers need no
  // part of the log. `log_bytes` is the size of the log now.
  std::optional<LogIndex> Pinned(uint64_t log_bytes);
  // In words: a peer gets no snapshot because a disk is full, here or at the peer. The next attempt
  // fails as well, until somebody makes room. Empty if there is no such peer.
  std::string TroubleInWords() const;

 private:
  // A snapshot that is on its way, or that has arrived at a peer that still has to catch up from
  // there.
  struct Transfer {
    LogIndex pinned;     // the entries after it are of use to the peer
    uint64_t bytes = 0;  // of the snapshot; 0 until the copy is made
    SteadyTime progress{0};
    // kBroken: the transfer is tried again soon. It goes on where it broke off if the log still
    // holds what follows it.
    enum class Stage { kRunning, kBroken, kArrived } stage = Stage::kRunning;
  };
  struct Failure {
    SteadyTime pause{0};
    SteadyTime until{0};
    bool reported = false;
    Status why;
  };
  // Whether nobody needs the transfer any more.
  static bool Over(const raft::CoreStatus& core, MemberId peer, const Transfer& transfer,
                   SteadyTime now);

  const ReplicaContext& context_;
  std::map<MemberId, Transfer> transfers_;
  std::map<MemberId, Failure> failures_;
};

}  // namespace cairn::node
