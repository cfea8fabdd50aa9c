// SnapshotInstall: a snapshot that comes in, from the leader's offer until it is the database.
//
// It owns the file that was received and the batches of the log that must wait for it. It tells the
// Raft core of the file, and has the apply thread put it in place. One snapshot at a time. A
// snapshot that is no longer of use is removed; an install that fails is for the caller to judge
// (OnInstalled gives the file back).
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "node/replica_context.h"
#include "raft/core.h"

namespace cairn::node {

struct ReceivedSnapshot {
  MemberId from;
  raft::SnapshotMeta meta;
  std::string path;
};

// One owner (the core thread).
class SnapshotInstall {
 public:
  explicit SnapshotInstall(ReplicaContext* context) : context_(*context) {}

  // The Raft core takes this snapshot if it is received.
  void OnWanted(const raft::SnapshotMeta& meta);
  // Files are named by what they hold: the same snapshot, sent twice, is the same file.
  bool Holds(const std::string& path) const;
  // Keeps the file for the Raft core, which is told of it as soon as a leader is known.
  // Only while !busy().
  void Keep(ReceivedSnapshot file);
  // A leader, or another one, is known.
  void OnLeaderKnown() { Offer(); }
  // Installs the file at once: the caller has a database that must be replaced, and the log needs
  // no part in it. Only while !busy().
  void Replace(ReceivedSnapshot file);
  // The state machine is in trouble: what was received, and is not being installed, is of no use.
  void Abandon();

  // Looks at each output of the Raft core before it is routed; null: there is none.
  void CheckOutput(const raft::Output* output);
  // True if the batch must wait until the database is in its place; TakeHeld gives it back then.
  bool Hold(raft::Persist* persist);
  std::vector<raft::Persist> TakeHeld() { return std::exchange(held_, {}); }
  // Begins to install once all batches before are durable (`log_idle`).
  void MaybeStart(bool log_idle);
  // The apply thread is done with it, one way or the other.
  ReceivedSnapshot OnInstalled();

  bool busy() const { return !std::holds_alternative<None>(stage_); }
  // The Raft core has taken it, or it replaces a database that must go.
  bool installing() const { return busy() && !std::holds_alternative<Kept>(stage_); }

 private:
  // The life of the file: kept -> proposed -> accepted -> installing, or kept -> proposed -> gone.
  struct None {};
  struct Kept {
    ReceivedSnapshot file;
    bool offered = false;  // the Raft core was told of it
  };
  struct Proposed {  // the Raft core was told that it is ready, and has not answered
    ReceivedSnapshot file;
  };
  struct Accepted {  // the log was told to begin anew after it; batches before are being written
    ReceivedSnapshot file;
  };
  struct Installing {
    ReceivedSnapshot file;
  };

  void Offer();
  void Propose();
  void Discard();
  const ReceivedSnapshot* file() const;

  const ReplicaContext& context_;
  std::variant<None, Kept, Proposed, Accepted, Installing> stage_;
  std::optional<raft::SnapshotMeta> wanted_;  // by the Raft core, and not received yet
  // They stay here after an install that failed: the database is behind them until another
  // snapshot is in its place.
  std::vector<raft::Persist> held_;
};

}  // namespace cairn::node
