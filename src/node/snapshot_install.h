// SnapshotInstall: a snapshot that comes in, from the leader's offer until it is the database.
//
// SnapshotInstall owns the file that was received and the batches of the log that must wait for it.
// It tells the Raft core of the file, and has the apply thread put the file in place. There is one
// snapshot at a time. A snapshot that is no longer of use is removed. The caller judges an install
// that fails (OnInstalled gives the file back).
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

// Not thread-safe: the core thread owns it.
class SnapshotInstall {
 public:
  explicit SnapshotInstall(ReplicaContext* context) : context_(*context) {}

  // The Raft core takes this snapshot once it is received.
  void OnWanted(const raft::SnapshotMeta& meta);
  // Files are named by what they hold, so the same snapshot that is sent twice is the same file.
  bool Holds(const std::string& path) const;
  // Keeps the file for the Raft core, which is told of it as soon as a leader is known. Call only
  // while not busy().
  void Keep(ReceivedSnapshot file);
  // A leader is known, or another leader.
  void OnLeaderKnown() { Offer(); }
  // Installs the file at once: the caller's database must be replaced, and the log has no part in
  // it. Call only while not busy().
  void Replace(ReceivedSnapshot file);
  // The state machine is in trouble. A file that was received and is not being installed is of no
  // use.
  void Abandon();

  // Looks at each output of the Raft core before it is routed; null: there is no output.
  void CheckOutput(const raft::Output* output);
  // Returns true if the batch must wait until the database is in its place. TakeHeld then gives the
  // batch back.
  bool Hold(raft::Persist* persist);
  std::vector<raft::Persist> TakeHeld() { return std::exchange(held_, {}); }
  // Begins to install once all earlier batches are durable (`log_idle`).
  void MaybeStart(bool log_idle);
  // The apply thread is done with the file, whether the install has worked or not.
  ReceivedSnapshot OnInstalled();

  bool busy() const { return !std::holds_alternative<None>(stage_); }
  // Whether the Raft core has taken the file, or the file replaces a database that must go.
  bool installing() const { return busy() && !std::holds_alternative<Kept>(stage_); }

 private:
  // The life of the file: kept -> proposed -> accepted -> installing, or kept -> proposed -> gone.
  struct None {};
  struct Kept {
    ReceivedSnapshot file;
    bool offered = false;  // the Raft core was told of it
  };
  struct Proposed {  // the Raft core was told of it, and has not answered
    ReceivedSnapshot file;
  };
  struct Accepted {  // the log begins anew after it; earlier batches are being written
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
  std::optional<raft::SnapshotMeta> wanted_;  // wanted by the Raft core, not received yet
  // The batches that wait. After an install that failed they stay: the database is behind them
  // until another snapshot is in its place.
  std::vector<raft::Persist> held_;
};

}  // namespace cairn::node
