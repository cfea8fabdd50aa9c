// Recovery: trouble of the state machine, and the way out of it.
//
// The log is whole all the while: it keeps what the database does not durably hold. After a failure
// that passes (a full disk, a sync that failed) the database is reopened, and the log is applied
// again from where the database stands, as after a restart of the process. A damaged database is
// replaced by a snapshot, for which the node asks the leader. A restart is always a way out, too,
// unless the file is damaged. An entry of another version of Cairn is waited out: log and database
// are sound, and a snapshot would be of that version as well.
//
// Recovery owns what is wrong and how often a way out was tried. It calls nobody: ReplicaCore takes
// the node out of service and installs snapshots.
#pragma once

#include <cstdint>
#include <string>

#include "base/ids.h"
#include "base/status.h"
#include "node/replica_context.h"

namespace cairn::node {

// Not thread-safe: the core thread owns it.
class Recovery {
 public:
  explicit Recovery(ReplicaContext* context) : context_(*context) {}

  // Not OK: this node is out of service, and this is why.
  const Status& trouble() const { return trouble_; }
  bool in_service() const { return trouble_.ok(); }
  // Whether the apply thread waits to be told to go on.
  bool down() const { return down_; }
  uint64_t stops() const { return stops_; }

  // This node was fenced before it was started.
  void StartInTrouble(Status why) { trouble_ = std::move(why); }
  // The apply thread has stopped. A call of Enter follows.
  void OnStopped(StatusCode why);
  // Only a snapshot can end the trouble.
  void OnDamaged() { damaged_ = true; }
  // The trouble begins. Returns true if the node was in service until now.
  bool Enter(const Status& why);
  // The node must hold this entry before it is back in service.
  void ReturnNotBefore(LogIndex index) { return_at_ = index; }
  // The database stands at an index from which the log can be applied. Returns true if the apply
  // thread waits to be told so.
  bool Resume();
  // Ends the trouble if this node holds all that it must. Returns true if the trouble has ended.
  bool MaybeEnd(LogIndex applied);

  // Whether the database is damaged and there is a leader to ask for a snapshot.
  bool damaged_beyond_reopening() const { return damaged_ && NeedsSnapshot(); }
  // Whether a snapshot that is received now would be installed.
  bool WantsSnapshot() const { return NeedsSnapshot() && context_.ticks >= next_snapshot_tick_; }
  // A snapshot of `from` replaces the database. If that does not end the trouble, the node asks for
  // the next snapshot only after a pause.
  void OnReplacing(MemberId from);
  // There is a leader. The snapshot of another leader may end the trouble that the last one did not
  // end.
  void OnLeader(MemberId leader);

  // The trouble in words for the operator. `installing`: a snapshot is being put in place.
  std::string InWords(bool installing) const;

 private:
  bool NeedsSnapshot() const;
  bool NeedsAnotherVersion() const;

  const ReplicaContext& context_;
  Status trouble_;
  bool down_ = false;
  bool damaged_ = false;
  uint64_t stops_ = 0;     // in the life of this process
  uint64_t failures_ = 0;  // in this trouble
  LogIndex return_at_;
  uint64_t snapshot_pause_ticks_ = 0;  // after a snapshot that did not end the trouble
  uint64_t next_snapshot_tick_ = 0;
  MemberId snapshot_from_;  // the sender of that snapshot
};

}  // namespace cairn::node
